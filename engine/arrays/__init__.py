"""Ragged arrays on NumPy or CuPy: offsets, bags, checked arguments, matrix products."""
