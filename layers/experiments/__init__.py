"""The experiments behind the commands, a folder each; index.py lists them."""
