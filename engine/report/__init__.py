"""A report of finished and unfinished runs: curves, confusions, and the texts labelled wrong with most certainty.

Figures, templates and phasors also serve the pages of layers/experiments.
"""
