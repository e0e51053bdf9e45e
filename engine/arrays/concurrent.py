"""Functions at once on the cores of the host: NumPy computes large arrays without the lock of the interpreter.

What is computed, and in which order it is summed, does not depend on the number of cores: only who computes it does.
"""

import contextvars
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

from engine.arrays import backend
from engine.support.parallel import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
LEAST_ENTRIES = 1 << 16  # of the arrays that a function goes through: a thread wakes up in the time of about as many


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, cores() - 1), "at-once")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # whose threads stay with the parent


def at_once(functions: Sequence[Callable[[], Any]], like: Any, products: bool = False) -> list[Any]:
    """The results of functions that do not depend on one another, in threads where that pays, else one by one.

    The functions do not call at_once() themselves: its threads would wait for one another.
    like: an array of the size and device of what each of them computes. products: whether they consist of matrix
    products, which BLAS may spread over the cores by itself.
    """
    small = not isinstance(like, np.ndarray) or like.size < LEAST_ENTRIES
    if small or len(functions) < 2 or cores() < 2 or (products and backend.blas_uses_cores()):
        return [function() for function in functions]
    others = [_pool().submit(contextvars.copy_context().run, function) for function in functions[1:]]
    try:
        first = functions[0]()
    finally:
        wait(others)
    return [first, *(other.result() for other in others)]


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
