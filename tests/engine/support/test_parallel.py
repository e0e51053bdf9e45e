"""Work in threads comes back in order, is bounded, and hands on what fails."""

import threading
import time

import pytest

from engine.support.parallel import cores, in_order


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_results_come_in_the_order_of_the_work(threads):
    def work(number):
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(in_order(work, range(20), threads)) == [number * number for number in range(20)]
    assert list(in_order(work, [], threads)) == [] and cores() >= 1


def test_little_is_ahead_of_what_is_taken():
    begun = []
    results = in_order(begun.append, range(100), 2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 6
    results.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_what_fails_is_raised_where_it_is_taken(threads):
    def work(number):
        if number == 3:
            raise ValueError("three")
        return number

    results = in_order(work, range(50), threads)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert threading.active_count() < 10
