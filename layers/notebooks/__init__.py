"""Notebooks that derive and check by hand what the book does, committed with their outputs."""
