"""From what an archive gives to a cohort: studies found, series chosen, names taken away."""
