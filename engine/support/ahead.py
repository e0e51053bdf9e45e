"""Work that goes on in a thread of its own: a call whose result is needed later, an iterator that runs ahead."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
END = object()


def begun(function: Callable[[], Item]) -> Callable[[], Item]:
    """Call a function in a thread; returns a function that waits for its result, or raises its exception."""
    results = ahead(function() for _ in range(1))
    return lambda: next(results)


def ahead(items: Iterable[Item], most: int = 2) -> Iterator[Item]:
    """The same items, which are made from now on, before they are asked for: up to `most` of them wait.

    An exception of `items` comes in its place, after the items before it. Who stops early leaves the thread waiting; it
    ends with the process.
    """
    made: queue.Queue[Any] = queue.Queue(most)

    def make() -> None:
        try:
            for item in items:
                made.put((item, None))
            made.put((END, None))
        except BaseException as error:
            made.put((END, error))

    def taken() -> Iterator[Item]:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is END:
                return
            yield item

    threading.Thread(target=make, daemon=True).start()
    return taken()
