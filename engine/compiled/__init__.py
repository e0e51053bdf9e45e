"""Functions in C for the host, compiled at first use where there is a compiler; NumPy computes the same without."""
