"""The mathematics of the Wave Network: one equation a file, forward and backward side by side, derived in x.md."""
