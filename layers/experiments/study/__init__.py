"""The study of the second paper: networks trained on the same texts in the same order, their figures and their page."""
