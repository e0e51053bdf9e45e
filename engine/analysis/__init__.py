"""Measures and draws what networks do. Knows no equation: arrays and names are handed in."""
