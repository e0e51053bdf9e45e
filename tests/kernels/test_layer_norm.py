"""E10 of a sum (E21) by kernels beside its equations."""

import numpy as np
import pytest

from layers.standard.layer_norm import EPSILON
from tests.support.twin_checks import SIZES, assert_kernels_agree

KERNELS = ("layer_norm_forward", "layer_norm_backward", "layer_norm_parameters", "finish_columns")


def agrees(emulated, x, kernels=KERNELS, **options):
    """With gain and bias for the width of x."""
    gain, bias = np.random.default_rng(x.size).standard_normal((2, x.shape[1]))
    assert_kernels_agree(emulated, "layer_norm_sum", (x, gain, bias, EPSILON), kernels, **options)


@pytest.mark.parametrize("columns", SIZES)
def test_rows_of_any_width(emulated, columns):
    agrees(emulated, np.random.default_rng(columns).standard_normal((5, columns)) + 3)


# A warp keeps 768 numbers of a row and reads the others again.
@pytest.mark.parametrize("columns", [767, 768, 769, 1600])
@pytest.mark.parametrize("summed", [False, True])
def test_rows_about_as_wide_as_what_is_kept(emulated, columns, summed):
    rng = np.random.default_rng(columns)
    residual = {"residual": rng.standard_normal((9, columns))} if summed else {}
    agrees(emulated, rng.standard_normal((9, columns)) + 3, **residual)


@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 300, 301])
def test_any_number_of_rows(emulated, rows):
    agrees(emulated, np.random.default_rng(rows).standard_normal((rows, 7)), KERNELS[:3] if rows else ())


def test_a_residual_and_rows_that_are_gathered(emulated):
    rng = np.random.default_rng(0)
    x, residual = rng.standard_normal((4, 33)), rng.standard_normal((9, 33))
    x_rows, residual_rows = rng.integers(0, 4, 50), rng.integers(0, 9, 50)
    agrees(emulated, x, x_rows=x_rows)
    agrees(emulated, x, residual=residual, x_rows=x_rows, residual_rows=residual_rows)
    agrees(emulated, x, residual=residual[:4])
    agrees(emulated, residual, residual=x, residual_rows=x_rows[:9])
    agrees(emulated, x, residual=rng.standard_normal((50, 33)), x_rows=x_rows)
