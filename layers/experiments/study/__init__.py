"""The study of the second paper: what is compared, and what only a Wave Network has to show.

A study: several networks trained on the same texts in the same order, what was recorded, its figures and its page.
"""
