"""A study: several networks trained on the same texts in the same order, what was recorded, its figures and its page."""
