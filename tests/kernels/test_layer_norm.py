"""E10 by kernels beside its plain twin."""

import numpy as np
import pytest

from layers.standard.layer_norm import layer_norm_backward, layer_norm_forward
from tests.support.twin_checks import SIZES, assert_kernels_agree

KERNELS = ("layer_norm_forward", "layer_norm_backward", "layer_norm_parameters", "finish_columns")


@pytest.mark.parametrize("columns", SIZES)
def test_rows_of_any_width(emulated, columns):
    rng = np.random.default_rng(columns)
    inputs = rng.standard_normal((5, columns)) + 3, *rng.standard_normal((2, columns))
    assert_kernels_agree(emulated, layer_norm_forward, layer_norm_backward, inputs, KERNELS)


@pytest.mark.parametrize(
    "columns", [767, 768, 769, 1600]
)  # a warp keeps 768 numbers of a row and reads the others again
@pytest.mark.parametrize(
    "gathered",
    [{}, {"x_bias": True}, {"residual": True}, {"x_bias": True, "residual": True}],
    ids=lambda given: "+".join(given) or "x",
)
def test_rows_about_as_wide_as_what_is_kept(emulated, columns, gathered):
    rng = np.random.default_rng(columns)
    inputs = rng.standard_normal((9, columns)) + 3, *rng.standard_normal((2, columns))
    options = {name: rng.standard_normal((9, columns) if name == "residual" else columns) for name in gathered}
    assert_kernels_agree(emulated, layer_norm_forward, layer_norm_backward, inputs, KERNELS, **options)


@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 300])
def test_any_number_of_rows(emulated, rows):
    rng = np.random.default_rng(rows)
    inputs = rng.standard_normal((rows, 7)), *rng.standard_normal((2, 7))
    assert_kernels_agree(emulated, layer_norm_forward, layer_norm_backward, inputs, KERNELS[:3] if rows else ())


def test_a_residual_and_rows_that_are_gathered(emulated):
    rng = np.random.default_rng(0)
    x, residual, gain, bias = rng.standard_normal((4, 33)), rng.standard_normal((9, 33)), *rng.standard_normal((2, 33))
    x_rows, residual_rows = rng.integers(0, 4, 50), rng.integers(0, 9, 50)
    both, x_bias = (
        {"residual": residual, "x_rows": x_rows, "residual_rows": residual_rows},
        {"x_bias": rng.standard_normal(33)},
    )
    for gathered in ({"x_rows": x_rows}, both, {"x_rows": x_rows, **x_bias}, {**both, **x_bias}):
        assert_kernels_agree(emulated, layer_norm_forward, layer_norm_backward, (x, gain, bias), KERNELS, **gathered)
