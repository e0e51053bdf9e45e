"""What tests of runs ask of NumPy's BLAS."""

import pytest

from engine.arrays.backend import known_blas


@pytest.fixture
def threads_of_blas():
    """threads_of_blas() → the numbers of threads of the BLAS libraries that threadpoolctl knows."""
    return lambda: {pool["num_threads"] for pool in known_blas().info() if pool["user_api"] == "blas"}
