"""One file an exercise: up to MARKER it is what a learner gets, after it what the check needs (table.Task).

What a learner gets imports NumPy alone and has no annotations: shapes are in the docstrings.
"""
