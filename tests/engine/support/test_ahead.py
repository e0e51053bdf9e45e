"""Work ahead of its reader: in order, bounded, with its exceptions, and begun before it is asked for."""

import threading
import time

import pytest

from engine.support.ahead import ahead, begun

WAIT = 10  # seconds after which a thread that should have come is missed


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order(threads):
    """However long each takes."""

    def work(number):
        time.sleep(0.01 * (number % 3))
        return number * number

    assert list(ahead(range(20), work, threads)) == [number * number for number in range(20)]


@pytest.mark.parametrize("threads", [1, 3])
def test_work_begins_before_it_is_asked_for_and_is_bounded(threads):
    made, worked, first = [], [], threading.Event()

    def items():
        for number in range(50):
            made.append(number)
            yield number

    def work(number):
        worked.append(number)
        first.set()
        return number

    results = ahead(items(), work, threads)
    assert first.wait(WAIT), "nothing was asked for yet"
    time.sleep(0.1)
    assert len(made) <= 2 * threads + 1 and len(worked) <= 2 * threads
    assert list(results) == made == list(range(50))


def test_several_items_are_worked_on_side_by_side():
    both = threading.Barrier(2, timeout=WAIT)
    assert list(ahead(range(2), lambda number: both.wait() >= 0, threads=2)) == [True, True]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("where", ["items", "work"])
def test_an_exception_comes_after_the_results_before_it(where, threads):
    def items():
        yield from (1, 2)
        if where == "items":
            raise KeyError("third")
        yield 3

    def work(number):
        if number == 3:
            raise KeyError("third")
        return number

    results = ahead(items(), work, threads)
    assert (next(results), next(results)) == (1, 2)
    with pytest.raises(KeyError, match="third"):
        next(results)


def test_a_call_goes_on_in_a_thread():
    started, may_end = threading.Event(), threading.Event()

    def work():
        started.set()
        assert may_end.wait(WAIT)
        return 3

    result = begun(work)
    assert started.wait(WAIT)
    may_end.set()
    assert result() == 3
    with pytest.raises(ZeroDivisionError):
        begun(lambda: 1 // 0)()
