"""Items that are computed one ahead: the results, the order and the exceptions of one after another."""

import threading

import pytest

from engine.support import one_ahead as one_ahead_module
from engine.support.one_ahead import one_ahead


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(one_ahead_module, "cores", lambda: 2)


def test_one_core_has_one_thread(monkeypatch):
    monkeypatch.setattr(one_ahead_module, "cores", lambda: 1)
    assert set(one_ahead(lambda _: threading.current_thread(), range(3))) == {threading.current_thread()}


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
