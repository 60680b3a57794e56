"""Speed and agreement against the published method, measured in one run."""
