"""An iterator that runs ahead of its reader, in a thread of its own."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
END = object()


def ahead(items: Iterable[Item], most: int = 2) -> Iterator[Item]:
    """The same items, the next of which are made while one is used: up to `most` of them wait.

    An exception of `items` comes in its place, after the items before it. Who stops early leaves the thread waiting;
    it ends with the process.
    """
    made: queue.Queue[Any] = queue.Queue(most)

    def make() -> None:
        try:
            for item in items:
                made.put((item, None))
            made.put((END, None))
        except BaseException as error:
            made.put((END, error))

    threading.Thread(target=make, daemon=True).start()
    while True:
        item, error = made.get()
        if error is not None:
            raise error
        if item is END:
            return
        yield item
