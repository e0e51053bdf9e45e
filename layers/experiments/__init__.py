"""The experiments behind the commands: one folder a command; index.py lists them."""
