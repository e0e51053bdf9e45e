"""What tests of runs ask of NumPy's BLAS."""

import pytest
from threadpoolctl import threadpool_info


@pytest.fixture
def threads_of_blas():
    """threads_of_blas() → the numbers of threads of the BLAS libraries that threadpoolctl knows."""
    return lambda: {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
