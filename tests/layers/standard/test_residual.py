"""E21: the input of a part added to its output."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.residual import residual_backward, residual_forward
from tests.support.device_stand_in import assert_computes_on_the_device
from tests.support.layer_laws import SEEDS, assert_equal, assert_exact_gradients, caught, examples, random_rows


@given(st.integers(0, 5), SEEDS)
@examples()
def test_both_inputs_are_added_and_receive_the_same(rows, seed):
    rng = np.random.default_rng(seed)
    f, x, dy = (random_rows(rng, rows) for _ in range(3))
    y, cache = residual_forward(f, x)
    assert_equal((y, *residual_backward(dy, cache)), (f + x, dy, dy))


def test_gradient():
    f, x = np.random.default_rng(0).standard_normal((2, 4, 3))
    assert_exact_gradients(residual_forward, residual_backward, f, x)


def test_the_gradient_is_taken_on_the_device_of_its_cotangent(device):
    y, cache = residual_forward(*np.random.default_rng(0).standard_normal((2, 4, 3)))
    assert_computes_on_the_device(device, residual_backward, y, cache)


def test_a_forgotten_path_is_caught():
    f, x = np.random.default_rng(0).standard_normal((2, 4, 3))
    assert caught(residual_forward, lambda dy, cache: (dy, 0 * dy), f, x)
