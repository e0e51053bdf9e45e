"""Trees of integer arrays on their way to a device."""

import sys
from typing import NamedTuple

import numpy as np
import pytest

from engine.arrays.backend import move_together


class Pair(NamedTuple):
    first: object
    second: object


class DeviceArray:
    def __init__(self, host):
        self.host = host

    def __getitem__(self, key):
        return DeviceArray(self.host[key])


@pytest.fixture
def copies(monkeypatch):
    """Sizes of the arrays that were copied to a device."""
    made = []

    class Cupy:
        ndarray = DeviceArray

        @staticmethod
        def asarray(x):
            made.append(x)
            return DeviceArray(x)

    monkeypatch.setitem(sys.modules, "cupy", Cupy)
    return made


def test_all_arrays_go_in_one_copy_and_keep_their_places(copies):
    there = DeviceArray(np.arange(2))
    tree = (Pair(np.array([1, 2]), None), (np.array([], np.int64), np.array([3], np.int32)), there)
    pair, (empty, three), same = move_together(tree, there)
    assert isinstance(pair, Pair) and pair.second is None and same is there
    assert (pair.first.host.tolist(), empty.host.tolist(), three.host.tolist()) == ([1, 2], [], [3])
    assert three.host.dtype == np.int64 and len(copies) == 1


def test_nothing_is_copied_that_is_there_already(copies):
    tree = Pair(np.array([1]), None)
    assert move_together(tree, np.zeros(1)) is tree and move_together(None, DeviceArray(np.zeros(1))) is None
    moved = Pair(DeviceArray(np.array([1])), None)
    assert move_together(moved, DeviceArray(np.zeros(1))) is moved and not copies
