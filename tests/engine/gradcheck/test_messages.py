"""Wrong arguments, and results of a wrong form, are named in one line that says what to do."""

import re

import numpy as np
import pytest

from engine.gradcheck import check_gradients, check_jacobian, check_properties, compare_backends
from engine.gradcheck.arrays import leaves
from engine.layer import Parameter, RowSparse
from tests.support.known_gradients import Pair, matmul, matmul_backward, normal, tanh, tanh_backward

CHECKS = [check_gradients, check_jacobian, check_properties, compare_backends]


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (lambda da, db: (da,), "returned 1 gradients, expected 2, for input 0, input 1"),
        (lambda da, db: da, "returned one ndarray, expected a tuple of 2, for input 0, input 1"),
        (lambda da, db: None, "returned None, expected a tuple of 2, for input 0, input 1 (is a return statement"),
        (lambda da, db: {"a": da, "b": db}, "returned one dict, expected a tuple of 2, for input 0, input 1"),
        (lambda da, db: (part for part in (da, db)), "returned one generator, expected a tuple of 2"),
        (lambda da, db: (da, db, None), "returned 3 gradients, expected 2, for input 0, input 1"),
        (lambda da, db: (da, None), "input 1: its gradient is None"),
        (lambda da, db: (da[0], db), "input 0: its gradient has shape (3,), expected (4, 3)"),
        (lambda da, db: (da, db.astype(np.float32)), "input 1: its gradient has dtype float32, expected float64"),
        (lambda da, db: (da + 0j, db), "input 0: its gradient has dtype complex128, expected float64"),
        (lambda da, db: ((da, da), db), "input 0: its gradient is a tuple, expected one array like the input"),
        (lambda da, db: ({"a": da}, db), "input 0: its gradient is a dict, expected one array like the input"),
        (lambda da, db: ("da", db), "input 0: its gradient is a str"),
        (lambda da, db: (1.0, db), "input 0: its gradient is a float, expected an array of shape (4, 3)"),
        (lambda da, db: (RowSparse(np.array([9]), da[:1]), db), "input 0: its gradient, a RowSparse, cannot be read"),
    ],
)
def test_wrong_form_of_gradients_fails_with_its_name(returned, text):
    report = check_gradients(
        matmul, lambda dy, c: returned(*matmul_backward(dy, c)), (normal(0, 4, 3), normal(1, 3, 2))
    )
    assert not report.ok and text in str(report), str(report)


@pytest.mark.parametrize(
    ("inputs", "returned", "text"),
    [
        ({"w": normal(0, 3), "b": normal(1, 3)}, lambda d: {"w": d}, "input 0['b']: its gradient is None or missing"),
        (
            {"w": normal(0, 3)},
            lambda d: {"v": d},
            "input 0: its gradient must have the parts input 0['w'], got input 0",
        ),
        ({"w": normal(0, 3)}, lambda d: d, "its gradient must have the parts input 0['w'], got one ndarray"),
        ({"w": normal(0, 3)}, lambda d: None, "input 0: its gradient is None"),
        ({"w": normal(0, 3)}, lambda d: {"w": d, "v": d}, "parts that are not differentiated: input 0['v']"),
        ({"w": normal(0, 3), "n": 2}, lambda d: {"w": d, "n": d}, "parts that are not differentiated: input 0['n']"),
        (
            Pair(normal(0, 3), normal(1, 3)),
            lambda d: (d, d),
            "parts input 0.re, input 0.im, got input 0[0], input 0[1]",
        ),
        ({str(i): normal(i, 3) for i in range(9)}, lambda d: d, "input 0['3'], … (9 in all), got one ndarray"),
    ],
)
def test_wrong_parts_of_a_gradient_are_named(inputs, returned, text):
    report = check_gradients(lambda z: (2.0 * leaves(z, "")[0][1], None), lambda dy, _: returned(dy), (inputs,))
    assert not report.ok and text in str(report), str(report)


def test_a_gradient_of_what_is_not_differentiated_is_refused():
    """It would not be looked at. Where wrt= leaves the input out, that is what was asked for."""
    forward, backward = lambda x, t: (x * t, (x, t)), lambda dy, c: (dy * c[1], float((dy * c[0]).sum()))
    report = check_gradients(forward, backward, (normal(0, 3), 2.0))
    text = "input 1: has a gradient but is not differentiated: return None for it, or name it in wrt="
    assert [row.name for row in report.failures] == ["input 1"] and text in str(report), str(report)
    assert check_gradients(forward, backward, (normal(0, 3), 2.0), wrt=[0]).ok


def test_a_parameter_without_gradient_fails():
    class Bare:
        def __init__(self, value):
            self.value, self.grad = value, None

        def dense_grad(self):
            return self.grad

    report = check_gradients(tanh, tanh_backward, (normal(0, 3),), parameters={"w": Bare(normal(1, 2))})
    assert not report.ok and "parameter w: its gradient is None" in str(report), str(report)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (lambda y: y, "it returned one array: return y, None if backward needs nothing"),
        (lambda y: y[:2], "it returned one array: return y, None if backward needs nothing"),
        (lambda y: float(y.sum()), "it returned one float: return y, None"),
        (lambda y: Pair(y, y), "it returned a Pair: return y, None"),
        (lambda y: [y, None], "it returned a list: return the tuple y, cache"),
        (lambda y: {"y": y, "cache": None}, "it returned a dict: return the tuple y, cache"),
        (lambda y: (y, y, None), "it returned 3 values: return two"),
        (lambda y: (y,), "it returned 1 values: return two"),
        (lambda y: None, "it returned None: is a return statement missing?"),
        (lambda y: (part for part in (y, None)), "it returned a generator: return y, None"),
    ],
)
def test_forward_that_returns_no_pair_raises(check, returned, text):
    with pytest.raises(ValueError, match=re.escape(f"forward must return (y, cache); {text}")):
        check(lambda x: returned(np.tanh(x)), tanh_backward, (normal(0, 3),))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    ("y", "text"),
    [
        (lambda x: x.argmax(), "no float array in y, forward returned int64"),
        (lambda x: {"at": x.argmax(), "text": "abc"}, "forward returned int64 of int64, str"),
        (lambda x: None, "forward returned NoneType"),
        (lambda x: x.astype(object), "forward returned ndarray of object"),
        (lambda x: "abc", "forward returned str"),
    ],
)
def test_output_without_floats_raises(check, y, text):
    with pytest.raises(ValueError, match=f"output: nothing to differentiate: .*{text}"):
        check(lambda x: (y(x), None), lambda dy, _: dy, (normal(0, 3),))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"inputs": (np.ones(3, np.longdouble),)}, "input 0: expected one of the dtypes float64, .* got (long|float)"),
        ({"inputs": np.ones(3)}, "inputs: expected a tuple"),
        ({"inputs": (3,)}, "inputs: nothing to differentiate"),
        ({"inputs": {"x": np.ones(3)}}, "inputs: expected a tuple of the arguments of forward, got dict: write"),
        ({"inputs": (np.arange(3),)}, "inputs: nothing to differentiate.*integers are passed on"),
        ({"inputs": ({"mode": "train", "w": np.ones(3)},)}, "inputs: nothing to differentiate.*text"),
        ({"inputs": (2.0,)}, "inputs: nothing to differentiate.*floats.*wrt="),
        ({"inputs": (np.ones(3),), "wrt": 0}, r"wrt: expected indices of inputs, \[0\] for the first, got 0"),
        ({"inputs": (np.ones(3),), "wrt": ["x"]}, "wrt: expected indices of inputs"),
        ({"inputs": (np.ones(3),), "wrt": [0, 0]}, "wrt: .* names an input twice"),
        ({"inputs": (np.ones(3),), "wrt": [1]}, "wrt: there is no input 1"),
        ({"inputs": (np.ones(3), 4), "wrt": [1]}, "wrt: input 1 is no float array and no float, it is a int"),
        ({"inputs": (np.ones(3), np.arange(2)), "wrt": [1]}, "wrt: input 1 .* it is a ndarray of int64"),
        ({"inputs": (np.ones(3),), "parameters": [np.ones(3)]}, "parameters: expected a dict by name, got list"),
        ({"inputs": (np.ones(3),), "parameters": {"w": np.ones(3)}}, "parameters: w is a ndarray, expected an object"),
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


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_no_function_is_named(check):
    with pytest.raises(ValueError, match="forward: expected a function, got tuple"):
        check(tanh(normal(0, 3)), tanh_backward, (normal(0, 3),))
    with pytest.raises(ValueError, match="backward: expected a function, got ndarray"):
        check(tanh, normal(0, 3), (normal(0, 3),))


@pytest.mark.parametrize("method", ["auto", "five_point"])
def test_a_shape_that_changes_is_named(method):
    """Near an entry where the comparison flips."""
    x = np.array([0.5, 0.4 + 1e-7, 1.0])
    with pytest.raises(ValueError, match=r"forward: y has the shape \(2,\) near the inputs, and \(3,\) at them"):
        check_gradients(lambda x: (x[x.real > 0.4], None), lambda dy, _: dy, (x,), method=method)


def test_backends_refuse_a_gradient_that_is_no_array():
    with pytest.raises(ValueError, match="backward: input 0: its gradient is a str, expected an array"):
        compare_backends(tanh, lambda dy, y: "dx", (normal(0, 3),))


def test_a_float32_gradient_of_float64_fails():
    report = check_gradients(lambda x: (x.astype(np.float32), None), lambda dy, _: dy, (np.ones(3),))
    assert not report.ok and "gradient has dtype float32, expected float64" in str(report)
