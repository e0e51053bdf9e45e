"""Many trainings: every combination of settings with every seed, in processes side by side, and a table of results."""
