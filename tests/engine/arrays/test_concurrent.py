"""Functions at once: the results, the order and the exceptions of one after another, in threads where these pay."""

import threading

import numpy as np
import pytest

from engine.arrays import concurrent
from engine.arrays.backend import blas_threads
from engine.arrays.concurrent import LEAST_ENTRIES, at_once, one_ahead

LARGE, SMALL = np.zeros(LEAST_ENTRIES), np.zeros(LEAST_ENTRIES - 1)


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(concurrent, "cores", lambda: 2)


def threads_of(like, products=False):
    """How many threads three functions are computed in."""
    return len(set(at_once([threading.current_thread] * 3, like, products)))


@pytest.mark.parametrize("like", [LARGE, SMALL])
def test_the_results_come_in_the_order_of_the_functions(two_cores, like):
    assert at_once([lambda: "a", lambda: "b", lambda: "c"], like) == ["a", "b", "c"]
    assert at_once([], like) == []


def test_threads_are_for_large_arrays_of_the_host(two_cores):
    assert threads_of(LARGE) > 1
    assert threads_of(SMALL) == threads_of([0.0] * LARGE.size) == 1


def test_one_core_has_one_thread(monkeypatch):
    monkeypatch.setattr(concurrent, "cores", lambda: 1)
    assert threads_of(LARGE) == 1
    assert set(one_ahead(lambda _: threading.current_thread(), range(3))) == {threading.current_thread()}


def test_products_are_left_to_blas_where_it_uses_the_cores(two_cores):
    for count, threads in ((0, 1), (2, 1), (1, 2)):
        with blas_threads(count):
            assert min(2, threads_of(LARGE, products=True)) == threads


@pytest.mark.parametrize("place", [0, 1])
def test_an_exception_is_raised_when_all_have_ended(two_cores, place):
    ended = []

    def fail():
        raise KeyError(place)

    def end():
        for _ in range(1000):
            np.zeros(1000)
        ended.append(True)

    functions = [end, end]
    functions[place] = fail
    with pytest.raises(KeyError):
        at_once(functions, LARGE)
    assert ended == [True]


def test_numpy_warns_in_threads_as_it_does_outside(two_cores):
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        at_once([lambda: None, lambda: np.float32(1e38) * np.float32(10)], LARGE)


def test_items_are_computed_in_order_and_one_ahead(two_cores):
    computed = []

    def compute(item):
        computed.append(item)
        return item * item

    results = one_ahead(compute, iter(range(5)))
    found = []
    for result in results:
        found.append(result)
        assert len(computed) <= len(found) + 1
    assert found == [0, 1, 4, 9, 16] and computed == list(range(5))
    assert list(one_ahead(compute, [])) == []


def test_an_exception_of_an_item_comes_in_its_place(two_cores):
    results = one_ahead(lambda item: 1 // item, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
