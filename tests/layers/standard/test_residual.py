"""E21: the input of a part is added to its output."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from layers.standard.residual import residual_backward, residual_forward
from tests.support.layer_laws import (
    ROWS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    random_rows,
)


def random_pair(seed, rows):
    rng = np.random.default_rng(seed)
    return random_rows(rng, rows), random_rows(rng, rows)


@given(st.integers(1, 6), SEEDS)
@examples()
def test_gradient(rows, seed):
    assert_exact_gradients(residual_forward, residual_backward, *random_pair(seed, rows))
    assert_five_point_gradients(residual_forward, residual_backward, *random_pair(seed, rows))


@given(st.integers(1, 6), SEEDS)
@examples()
def test_gradient_of_a_part_with_its_residual(rows, seed):
    """y = x·W + x: the copy of dy and what comes back through the part add up."""

    def forward(x, weight):
        y, added = residual_forward(x @ weight, x)
        return y, (x, weight, added)

    def backward(dy, cache):
        x, weight, added = cache
        df, dx = residual_backward(dy, added)
        return dx + df @ weight.T, x.T @ df

    assert_exact_gradients(forward, backward, random_pair(seed, rows)[0], random_pair(seed, 3)[1])


def test_both_receive_the_cotangent_itself():
    _, cache = residual_forward(ROWS, ROWS)
    assert all(gradient is ROWS for gradient in residual_backward(ROWS, cache))


def test_sums_that_cancel_or_overflow_have_right_gradients():
    for f, x, expected in ((1, -1.0000001, -1.1920929e-07), (3e38, 3e38, np.inf)):
        f, x = np.array([[f]], np.float32), np.array([[x]], np.float32)
        with np.errstate(over="ignore"):
            y, cache = residual_forward(f, x)
        assert y == np.float32(expected)
        assert_equal(residual_backward(np.ones_like(y), cache), (np.ones_like(y), np.ones_like(y)))


def test_a_forgotten_branch_is_caught():
    assert caught(residual_forward, lambda dy, cache: (dy, 0 * dy), *random_pair(0, 3))
