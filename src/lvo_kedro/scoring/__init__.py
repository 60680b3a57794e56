"""From one new scan to one result: every stage's models, loaded once."""
