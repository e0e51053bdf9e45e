"""Wrong forms of gradients and wrong arguments are named."""

import numpy as np
import pytest

from engine.gradcheck import check_gradients
from engine.layer import Parameter
from tests.support.known_gradients import Pair, matmul, matmul_backward, normal, tanh, tanh_backward


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (lambda da, db: (da,), "returned 1 gradients, expected 2, for input 0, input 1"),
        (lambda da, db: da, "returned one ndarray, expected 2"),
        (lambda da, db: None, "returned one NoneType, expected 2"),
        (lambda da, db: (da, None), "input 1: its gradient is None"),
        (lambda da, db: (da[0], db), "input 0: its gradient has shape (3,), expected (4, 3)"),
        (lambda da, db: (da, db.astype(np.float32)), "input 1: its gradient has dtype float32, expected float64"),
        (lambda da, db: (da + 0j, db), "input 0: its gradient has dtype complex128, expected float64"),
        (
            lambda da, db: ((da, da), db),
            "input 0: its gradient must have the parts input 0, got input 0[0], input 0[1]",
        ),
        (lambda da, db: ("da", db), "input 0: its gradient is a str"),
    ],
)
def test_wrong_form_of_gradients_fails_with_its_name(returned, text):
    report = check_gradients(
        matmul, lambda dy, c: returned(*matmul_backward(dy, c)), (normal(0, 4, 3), normal(1, 3, 2))
    )
    assert not report.ok and text in str(report), str(report)


def test_sound_blocks_are_checked_beside_one_of_wrong_shape():
    backward = lambda dy, c: (matmul_backward(dy, c)[0][0], -matmul_backward(dy, c)[1])  # noqa: E731
    report = check_gradients(matmul, backward, (normal(0, 4, 3), normal(1, 3, 2)))
    assert [(row.name, row.numeric is None) for row in report.failures] == [("input 0", True), ("input 1", False)]


def test_single_gradients_may_be_bare_or_wrapped():
    pair = Pair(normal(0, 3), normal(1, 3))

    def forward(z):
        return z.re * z.im, z

    for backward in (lambda dy, z: Pair(dy * z.im, dy * z.re), lambda dy, z: (Pair(dy * z.im, dy * z.re),)):
        assert check_gradients(forward, backward, (pair,)).ok
    assert check_gradients(tanh, lambda dy, y: (tanh_backward(dy, y),), (normal(0, 3),)).ok


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"inputs": (np.ones(3, np.longdouble),)}, "input 0: expected one of the dtypes float64, .* got (long|float)"),
        ({"inputs": np.ones(3)}, "inputs: expected a tuple"),
        ({"inputs": (3,)}, "inputs: nothing to differentiate"),
        ({"inputs": ((np.ones(3), 2),)}, "input 0: a tuple that mixes"),
        ({"inputs": (np.ones(3),), "wrt": [1]}, "wrt: there is no input 1"),
        ({"inputs": (np.ones(3), 4), "wrt": [1]}, "wrt: input 1 is no float array"),
        ({"inputs": (np.ones(3),), "method": "forward"}, "method: expected one of"),
        ({"inputs": (np.ones(3),), "kink": "hide"}, "kink: expected one of"),
        ({"inputs": (np.ones(3),), "directions": 0}, "directions: expected at least 1"),
        ({"inputs": (np.ones(3) * 1j,), "method": "complex_step"}, "complex_step needs real"),
        ({"inputs": (2,), "parameters": {"w": Parameter(np.ones(3, np.longdouble))}}, "parameter w: expected one"),
    ],
)
def test_wrong_arguments_raise(arguments, text):
    with pytest.raises(ValueError, match=text):
        check_gradients(tanh, tanh_backward, **arguments)


def test_a_float32_gradient_of_float64_fails():
    report = check_gradients(lambda x: (x.astype(np.float32), None), lambda dy, _: dy, (np.ones(3),))
    assert not report.ok and "gradient has dtype float32, expected float64" in str(report)
