"""The next item is computed in a thread while one is used."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from engine.support.parallel import cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """function(item) for each item, in their order: the next one is computed in a thread while one is used."""
    if cores() < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming: Future[Result] | None = None
        for item in items:
            coming, ready = pool.submit(function, item), coming
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()
