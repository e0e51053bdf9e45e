"""Calls that come together are computed together, each gets its own rows, and nobody waits for others to come."""

import asyncio
import threading

import numpy as np
import pytest

from engine.serving.batcher import BATCH, Batcher, Busy


class Lengths:
    """Computes (N, 1) lengths of texts, once `gate` is open. batches: the texts of each call."""

    def __init__(self):
        self.batches, self.gate, self.entered = [], threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, texts):
        self.entered.set()
        self.gate.wait(10)
        self.batches.append(texts)
        if "wrong" in texts:
            raise ValueError("wrong")
        return np.array([[len(text)] for text in texts])


def asked(batcher, *calls):
    """The results of concurrent calls, or the exceptions that they raise, in their order."""

    async def ask():
        return await asyncio.gather(*map(batcher.probabilities, calls), return_exceptions=True)

    return asyncio.run(ask())


async def under_way(batcher, lengths):
    """A call that is being computed, until the gate opens."""
    first = asyncio.ensure_future(batcher.probabilities(["first"]))
    while not lengths.entered.is_set():
        await asyncio.sleep(0.01)
    return first


def test_one_call_is_computed_at_once():
    with Batcher(lengths := Lengths()) as batcher:
        (found,) = asked(batcher, ["a", "bcd"])
    assert found.tolist() == [[1], [3]] and lengths.batches == [["a", "bcd"]]
    assert (batcher.answered, batcher.waiting, batcher.thread.is_alive()) == (2, 0, False)


def test_calls_that_come_meanwhile_are_the_next_batch():
    """And each gets its own rows, in its own order."""
    lengths = Lengths()
    lengths.gate.clear()

    async def ask(batcher):
        first = await under_way(batcher, lengths)
        others = [asyncio.ensure_future(batcher.probabilities(["x" * n, "y"][: n % 3])) for n in range(8)]
        await asyncio.sleep(0.05)
        assert batcher.waiting == 1 + sum(n % 3 for n in range(8))
        lengths.gate.set()
        return await first, await asyncio.gather(*others)

    with Batcher(lengths) as batcher:
        first, others = asyncio.run(ask(batcher))
    assert first.tolist() == [[5]]
    assert [found[:, 0].tolist() for found in others] == [[n, 1][: n % 3] for n in range(8)]
    assert len(lengths.batches) == 2


def test_a_batch_ends_where_it_is_full():
    lengths = Lengths()
    lengths.gate.clear()

    async def ask(batcher):
        calls = [asyncio.ensure_future(batcher.probabilities(["x"] * (BATCH // 2))) for _ in range(6)]
        await asyncio.sleep(0.05)
        lengths.gate.set()
        await asyncio.gather(*calls)

    with Batcher(lengths) as batcher:
        asyncio.run(ask(batcher))
    sizes = [len(texts) for texts in lengths.batches]
    assert sum(sizes) == 3 * BATCH and max(sizes) == BATCH


def test_a_failure_is_raised_for_the_calls_of_its_batch_alone():
    with Batcher(Lengths()) as batcher:
        (wrong,) = asked(batcher, ["wrong"])
        (right,) = asked(batcher, ["right"])
    assert isinstance(wrong, ValueError) and right.tolist() == [[5]] and batcher.waiting == 0


def test_too_many_texts_are_turned_away():
    with Batcher(Lengths(), most=3) as batcher:
        found = asked(batcher, ["a"], ["b", "c"], ["d"])
        assert isinstance(found[2], Busy) and [len(rows) for rows in found[:2]] == [1, 2]
        assert asked(batcher, ["e", "f", "g"])[0].shape == (3, 1)


@pytest.mark.parametrize("began", [True, False])
def test_a_call_that_is_given_up_is_not_computed(began):
    """Unless it is under way; then its result is dropped."""
    lengths = Lengths()
    lengths.gate.clear()

    async def ask(batcher):
        first = await under_way(batcher, lengths)
        second = asyncio.ensure_future(batcher.probabilities(["second"]))
        await asyncio.sleep(0)
        given_up, other = (first, second) if began else (second, first)
        given_up.cancel()
        await asyncio.sleep(0.05)
        lengths.gate.set()
        assert (await other).shape == (1, 1) and given_up.cancelled() and batcher.waiting == 0

    with Batcher(lengths) as batcher:
        asyncio.run(ask(batcher))
    assert lengths.batches == ([["first"], ["second"]] if began else [["first"]])
