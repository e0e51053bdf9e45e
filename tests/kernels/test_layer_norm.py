"""E10 by kernels beside its plain twin."""

import numpy as np
import pytest
from twin_checks import SIZES, assert_kernels_agree

from layers.standard.layer_norm import layer_norm_backward, layer_norm_forward

KERNELS = ("layer_norm_forward", "layer_norm_backward", "layer_norm_parameters", "finish_columns")


@pytest.mark.parametrize("columns", SIZES)
def test_rows_of_any_width(emulated, columns):
    rng = np.random.default_rng(columns)
    inputs = rng.standard_normal((5, columns)) + 3, *rng.standard_normal((2, columns))
    assert_kernels_agree(emulated, layer_norm_forward, layer_norm_backward, inputs, KERNELS)


@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 300])
def test_any_number_of_rows(emulated, rows):
    rng = np.random.default_rng(rows)
    inputs = rng.standard_normal((rows, 7)), *rng.standard_normal((2, 7))
    assert_kernels_agree(emulated, layer_norm_forward, layer_norm_backward, inputs, KERNELS[:3] if rows else ())


def test_a_residual_and_rows_that_are_gathered(emulated):
    rng = np.random.default_rng(0)
    x, residual, gain, bias = rng.standard_normal((4, 33)), rng.standard_normal((9, 33)), *rng.standard_normal((2, 33))
    x_rows, residual_rows = rng.integers(0, 4, 50), rng.integers(0, 9, 50)
    for gathered in ({"x_rows": x_rows}, {"residual": residual, "x_rows": x_rows, "residual_rows": residual_rows}):
        assert_kernels_agree(emulated, layer_norm_forward, layer_norm_backward, (x, gain, bias), KERNELS, **gathered)
