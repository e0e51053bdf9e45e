"""A report of finished and unfinished runs: curves, what was confused with what, and the texts labelled wrong with most certainty."""
