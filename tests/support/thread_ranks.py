"""Ranks that are threads of one process: what reduce_mpi.py and reduce_nccl.py do, without either library."""

import pickle
import threading

import numpy as np

from engine.arrays.backend import array_module
from engine.training.reduce import Alone, RankFailed

PATIENCE = 60  # seconds, after which a test that hangs fails


class ThreadRanks(Alone):
    """One of `size` ranks. sent: how many numbers it has sent to others."""

    def __init__(self, rank, size, shared):
        self.rank, self.size, self.shared, self.sent = rank, size, shared, 0
        self.signal = self.agreed_signal = None

    def all_of(self, value):
        """The values of all ranks."""
        barrier, slots = self.shared
        slots[self.rank] = value
        barrier.wait(PATIENCE)
        found = list(slots)
        barrier.wait(PATIENCE)
        return found

    def gather(self, value, failed=None):
        told = [pickle.loads(data) for data in self.all_of(pickle.dumps((failed, self.signal, value)))]
        self.agreed_signal = max((signal for _, signal, _ in told if signal is not None), default=None)
        codes = [code for code, _, _ in told if code is not None]
        if codes and failed is None:
            raise RankFailed(codes[0])
        return [value for _, _, value in told]

    def of_root(self, function):
        return self.gather(function() if self.is_root else None)[0]

    def in_turn(self, function):
        value = None
        for rank in range(self.size):
            value = function() if rank == self.rank else value
            self.gather(None)
        return value

    def caught(self, signal):
        self.signal = signal
        return self.agreed_signal

    def exchange(self, values, sent, received):
        assert sum(sent) == len(values)
        cuts = np.cumsum([0, *sent]).tolist()
        self.sent += len(values) - sent[self.rank]
        parts = [row[self.rank] for row in self.all_of([values[a:b] for a, b in zip(cuts, cuts[1:])])]
        assert [len(part) for part in parts] == list(received)
        return array_module(values).concatenate(parts)

    def collect(self, values, counts):
        self.sent += len(values) * (self.size - 1)
        parts = self.all_of(values)
        assert [len(part) for part in parts] == list(counts)
        return array_module(values).concatenate(parts)


def on_ranks(size, function, kind=ThreadRanks):
    """function(ranks) of each of `size` ranks, in order: its result, or the exception that it raised."""
    shared, found = (threading.Barrier(size), [None] * size), [None] * size

    def run(rank):
        ranks = kind(rank, size, shared)
        try:
            with np.errstate(all="ignore"):
                found[rank] = function(ranks)
        except Exception as error:
            found[rank] = error
            if not isinstance(error, RankFailed):
                try:
                    ranks.gather(None, failed=1)
                except threading.BrokenBarrierError:
                    pass

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
