"""Iterators that run ahead, and calls whose result is needed later."""

import threading

import pytest

from engine.support.ahead import ahead, begun


def test_items_come_in_order_and_are_made_before_they_are_asked_for():
    made, second = [], threading.Event()

    def items():
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    found = ahead(items(), most=2)
    assert second.wait(10), "nothing was asked for yet"
    assert max(made) <= 3 and list(found) == list(range(5)) == made


def test_an_exception_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise KeyError("third")

    found = ahead(items())
    assert (next(found), next(found)) == (1, 2)
    with pytest.raises(KeyError, match="third"):
        next(found)


def test_a_call_goes_on_in_a_thread():
    started, may_end = threading.Event(), threading.Event()

    def work():
        started.set()
        assert may_end.wait(10)
        return 3

    result = begun(work)
    assert started.wait(10)
    may_end.set()
    assert result() == 3
    with pytest.raises(ZeroDivisionError):
        begun(lambda: 1 // 0)()
