"""The mathematics of the Wave Network: one equation a file, forward and backward side by side. README.md derives them."""
