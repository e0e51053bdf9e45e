"""Wrong arguments are refused by name: what it was and what it must be."""

import re

import numpy as np
import pytest

from engine.arguments import check_choice, check_floats, check_offsets

GOOD = np.zeros((3, 2), np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_real_and_complex_step_arrays_of_the_right_shape_pass(dtype):
    x = np.zeros((3, 2), dtype)
    check_floats("x", x, (3, "d"))
    check_floats("x", x, (None, 2), like=x)
    check_floats("x", x.sum(), ())


def test_complex_step_passes_beside_real_arrays_either_way():
    z = GOOD.astype(np.complex128)
    check_floats("x", z, (3, 2), like=GOOD)
    check_floats("x", GOOD, (3, 2), like=z)


@pytest.mark.parametrize(
    "x, shape, like, message",
    [
        ([[1.0]], ("T", 2), None, "x: expected a float array of shape (T, 2), got list"),
        (np.zeros((3, 2), int), (3, 2), None, "x: expected dtype float32 or float64, got int64"),
        (np.zeros((3, 2), np.float16), (3, 2), None, "x: expected dtype float32 or float64, got float16"),
        (GOOD, (3, 2), np.zeros(1), "x: expected dtype float64 like the other inputs, got float32"),
        (GOOD, (3, 4), None, "x: expected shape (3, 4), got (3, 2)"),
        (GOOD, (np.int64(4), None), None, "x: expected shape (4, ?), got (3, 2)"),
        (GOOD, ("T",), None, "x: expected shape (T,), got (3, 2)"),
        (GOOD, (), None, "x: expected shape (), got (3, 2)"),
    ],
)
def test_other_arrays_are_refused_by_name(x, shape, like, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_floats("x", x, shape, like)


@pytest.mark.parametrize("offsets, rows", [([0], 0), ([0, 0, 0], 0), ([0, 3, 3, 5], 5)])
def test_offsets_that_cut_all_rows_pass(offsets, rows):
    check_offsets(np.array(offsets, np.int64), rows)


@pytest.mark.parametrize(
    "offsets, message",
    [
        ([0, 5], "expected an int64 array of shape (B + 1,), got list"),
        (np.array([0, 5], np.int32), "expected an int64 array of shape (B + 1,), got int32 of shape (2,)"),
        (np.array([[0, 5]]), "expected an int64 array of shape (B + 1,), got int64 of shape (1, 2)"),
        (np.array(5), "expected an int64 array of shape (B + 1,), got int64 of shape ()"),
        (np.array([], np.int64), "expected an int64 array of shape (B + 1,), got int64 of shape (0,)"),
        (np.array([1, 5]), "must run from 0 to the number of rows 5, got 1 to 5"),
        (np.array([0, 4]), "must run from 0 to the number of rows 5, got 0 to 4"),
        (np.array([0, 4, 3, 5]), "must not fall, got offsets[1] = 4 and offsets[2] = 3"),
    ],
)
def test_other_offsets_are_refused(offsets, message):
    with pytest.raises(ValueError, match=f"^{re.escape('offsets: ' + message)}$"):
        check_offsets(offsets, 5)


def test_a_value_outside_the_choices_is_refused_with_the_choices():
    check_choice("kind", "a", ("a", "b"))
    with pytest.raises(ValueError, match="^kind: expected one of 'a', 'b', got 'c'$"):
        check_choice("kind", "c", ("a", "b"))
