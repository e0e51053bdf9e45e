"""Requests that come together are computed together, in one thread of its own.

While a batch is computed, further texts wait; when it is done, all that wait are the next one. So a request that comes
alone is computed at once, and under load batches become as large as they need to be.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from engine.types import Floats2d

BATCH = 256  # texts, after which no further request is added to a batch
WAITING = 8192  # texts at most that wait or are computed; further requests are turned away


class Busy(Exception):
    """Too many texts wait already."""


class Call(NamedTuple):
    """Texts of one request, and where their probabilities go."""

    texts: list[str]
    future: "Future[Floats2d]"


class Batcher:
    """Computes the texts of concurrent calls in common batches, within a context.

    compute: N texts → (N, C) probabilities, called in one thread. waiting: texts that wait or are being computed;
    answered: those whose probabilities have been handed out.
    """

    def __init__(self, compute: Callable[[list[str]], Floats2d], most: int = WAITING) -> None:
        self.compute, self.most = compute, most
        self.waiting = self.answered = 0
        self.calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()  # None: the end
        self.thread = threading.Thread(target=self.run, name="batcher", daemon=True)

    def __enter__(self) -> "Batcher":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.put(None)
        self.thread.join()

    async def probabilities(self, texts: list[str]) -> Floats2d:
        """(N, C) of N texts, in their order, for callers in one event loop.

        Raises Busy, and whatever `compute` raises. A call that is cancelled while it waits is not computed.
        """
        if self.waiting + len(texts) > self.most:
            raise Busy
        future: Future[Floats2d] = Future()
        self.waiting += len(texts)
        self.calls.put(Call(texts, future))
        try:
            found = await asyncio.wrap_future(future)
        finally:
            self.waiting -= len(texts)
        self.answered += len(texts)
        return found

    def run(self) -> None:
        """Compute batches until the end."""
        goes_on = True
        while goes_on:
            calls, goes_on = self.next_calls()
            calls = [call for call in calls if call.future.set_running_or_notify_cancel()]
            try:
                found = self.compute([text for call in calls for text in call.texts]) if calls else None
            except BaseException as error:
                for call in calls:
                    call.future.set_exception(error)
                continue
            start = 0
            for call in calls:
                assert found is not None
                call.future.set_result(found[start : start + len(call.texts)])
                start += len(call.texts)

    def next_calls(self) -> tuple[list[Call], bool]:
        """(the calls of the next batch, whether others may follow). Waits for the first alone."""
        calls: list[Call] = []
        call = self.calls.get()
        while call is not None:
            calls.append(call)
            try:
                if sum(len(one.texts) for one in calls) >= BATCH:
                    return calls, True
                call = self.calls.get_nowait()
            except queue.Empty:
                return calls, True
        return calls, False
