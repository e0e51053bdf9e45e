"""Work that goes on in threads of its own: a call whose result is needed later, items that are worked on ahead."""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begun(function: Callable[[], Result]) -> Callable[[], Result]:
    """Call a function in a thread; returns a function that waits for its result, or raises its exception."""
    results = ahead([function], lambda call: call())
    return lambda: next(results)


def ahead(items: Iterable[Item], work: Callable[[Item], Result], threads: int = 1) -> Iterator[Result]:
    """work(item) of each item, in order, begun before it is asked for: each thread is at most one item ahead.

    One thread at a time makes an item. An exception of `items` or `work` comes in its place, after the results before
    it. Who stops early leaves the threads waiting; they end with the process.
    """
    source, one_at_a_time = iter(items), threading.Lock()
    order: queue.Queue[Any] = queue.Queue(threads)  # of the queues in which the results come; None at the end

    def run() -> None:
        while True:
            result: queue.Queue[Any] = queue.Queue(1)
            with one_at_a_time:
                try:
                    item = next(source)
                except StopIteration:
                    order.put(None)
                    return
                except BaseException as error:
                    result.put((None, error))
                    order.put(result)
                    return
                order.put(result)
            try:
                result.put((work(item), None))
            except BaseException as error:
                result.put((None, error))

    def taken() -> Iterator[Result]:
        while (result := order.get()) is not None:
            value, error = result.get()
            if error is not None:
                raise error
            yield value

    for _ in range(threads):
        threading.Thread(target=run, daemon=True).start()
    return taken()
