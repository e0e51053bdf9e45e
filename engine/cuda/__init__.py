"""GPU-only code: kernels and their launches, compilers, cuBLAS, graphs, doctor."""
