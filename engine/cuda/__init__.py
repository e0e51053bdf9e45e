"""What exists only because of a GPU: kernels and their launches, compilers, cuBLAS, graphs, doctor."""
