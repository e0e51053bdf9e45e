"""The study of the second paper: what is compared, and what only a Wave Network has to show."""
