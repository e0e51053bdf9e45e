"""Wrong arguments are refused by name: what it was and what it must be."""

import re

import numpy as np
import pytest

from engine.arrays.checks import check_choice, check_floats, check_ids, check_offsets

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
    message = message.replace("offsets[", "cuts[")
    with pytest.raises(ValueError, match=f"^{re.escape('cuts: ' + message)}$"):
        check_offsets(offsets, 5, "cuts")


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.uint64])
@pytest.mark.parametrize("ids", [[], [0], [4, 0, 4, 2]])
def test_ids_of_rows_that_exist_pass(dtype, ids):
    check_ids(np.array(ids, dtype), 5)


def test_no_ids_pass_even_where_there_are_no_rows():
    check_ids(np.zeros(0, np.int64), 0)


@pytest.mark.parametrize(
    "ids, message",
    [
        ([0, 1], "expected an integer array of shape (T,), got list"),
        (np.array([0.0, 1.0]), "expected an integer array of shape (T,), got float64 of shape (2,)"),
        (np.array([True, False]), "expected an integer array of shape (T,), got bool of shape (2,)"),
        (np.array([[0, 1]]), "expected an integer array of shape (T,), got int64 of shape (1, 2)"),
        (np.array(3), "expected an integer array of shape (T,), got int64 of shape ()"),
        (np.array([2, 5, 1]), "must lie in [0, 5), got 5"),
        (np.array([0, 7, 9, 5]), "must lie in [0, 5), got 9"),
        (np.array([2, -1, 4]), "must lie in [0, 5), got -1"),
        (np.array([9, -3, -1]), "must lie in [0, 5), got -3"),
        (np.array([200], np.uint8), "must lie in [0, 5), got 200"),
    ],
)
def test_other_ids_are_refused(ids, message):
    with pytest.raises(ValueError, match=f"^{re.escape('ids: ' + message)}$"):
        check_ids(ids, 5)
    with pytest.raises(ValueError, match=f"^{re.escape('places: ' + message)}$"):
        check_ids(ids, 5, "places")


def test_only_ids_on_the_host_are_looked_into():
    class OnDevice:
        dtype, ndim, shape, size = np.dtype(np.int64), 1, (2,), 2

        def min(self):
            raise AssertionError("looking into an array of a device stalls the stream")

        max = min

    check_ids(OnDevice(), 5)


def test_a_value_outside_the_choices_is_refused_with_the_choices():
    check_choice("kind", "a", ("a", "b"))
    with pytest.raises(ValueError, match="^kind: expected one of 'a', 'b', got 'c'$"):
        check_choice("kind", "c", ("a", "b"))
