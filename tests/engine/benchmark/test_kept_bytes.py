"""Bytes that a cache keeps: every memory once, whatever views of it there are."""

from typing import NamedTuple

import numpy as np
import pytest

from engine.benchmark.parts import kept_bytes

A, B = np.zeros((3, 4), np.float32), np.zeros(5)  # 48 and 40 bytes


class OwnKind(np.ndarray):
    """NumPy keeps the whole chain of views where their classes differ."""


class Pair(NamedTuple):
    first: object
    second: object


@pytest.mark.parametrize("cache, expected", [
    ((), 0),
    (A, 48),
    ((A, B), 88),
    ([Pair(A, {"b": B, 3: (A,)}), A], 88),
    ((A[1:], A[:2]), 48),
    ((A[2:], A[:1]), 48),
    ((A.T, A.reshape(2, 6)[:, ::2][1:]), 48),
    (np.broadcast_to(B[:1], (7, 7)), 40),
    ((B.view(OwnKind)[1:], B), 40),
    ((None, 3, 1.5, "word", np.float64(2), np.dtype(np.float32), slice(1, 2), A.shape), 0),
    (np.zeros((0, 4)), 0),
    ((np.zeros(3, bool), np.zeros(3, np.int64)), 27),
])  # fmt: skip
def test_bytes_of_a_tree(cache, expected):
    assert kept_bytes(cache) == expected


def test_equal_arrays_are_two():
    assert kept_bytes((A, A.copy())) == 96


def test_what_is_left_out_counts_nothing_nor_do_views_of_it():
    assert kept_bytes((A, A.T, B), left_out=[A]) == 40
    assert kept_bytes((A, B), left_out=[B[2:]]) == 48
    assert kept_bytes(A, left_out=[A.copy()]) == 48


def test_memory_that_is_no_array_is_counted_by_its_view():
    assert kept_bytes(np.frombuffer(b"12345678", np.float32)) == 8
