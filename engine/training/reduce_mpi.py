"""Ranks of MPI, by mpi4py: what they agree on, how they end together, and the exchange of arrays of the host.

gather() is the only way in which ranks agree. With every value each tells whether it has ended, and which signal it has
caught; so all learn both at the same place. A rank that ends takes part in one last gather(), whatever the others
gather there. Where they do not come, or where it has left an exchange half way, it ends all ranks by MPI's Abort.
"""

import atexit
import contextlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mpi4py
import numpy as np

mpi4py.rc.thread_level = "funneled"  # only the main thread calls MPI

from mpi4py import MPI  # noqa: E402

from engine.arrays.backend import array_module  # noqa: E402
from engine.support.errors import UserError  # noqa: E402
from engine.training.reduce import Alone, RankFailed, Value  # noqa: E402
from engine.types import Array  # noqa: E402

PATIENCE = 10.0  # seconds that a rank which has ended waits for the others
SPIN = 2e-3  # seconds of waiting without sleep, which costs a core
NAP = 1e-2  # the longest sleep; it is a twentieth of the time waited


class MpiRanks(Alone):
    """The ranks of an MPI communicator. local_rank: among those of this machine."""

    def __init__(self, comm: Any, local_rank: int) -> None:
        self.comm, self.local_rank = comm, local_rank
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.signal: int | None = None  # caught by this rank
        self.agreed_signal: int | None = None  # by any, as of the last gather()
        self.exchanging = self.over = False
        self.deadline = float("inf")
        self.transport: Any = HostTransport(comm)

    @classmethod
    def world(cls, local_rank: int | None = None) -> "MpiRanks":
        """All ranks. local_rank: as the launcher tells it; None asks MPI."""
        if local_rank is None:
            local_rank = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED).Get_rank()
        return cls(MPI.COMM_WORLD, local_rank)

    def gather(self, value: Value) -> list[Value]:
        try:
            ended, values = self.agreed(None, value)
        except TimeoutError:  # of a rank that was interrupted
            self.exchanging = True
            raise KeyboardInterrupt from None
        codes = [code for code in ended if code is not None]
        if codes:
            self.over = True
            raise RankFailed(codes[0])
        if self.deadline < float("inf"):
            raise KeyboardInterrupt
        return values

    def agreed(self, exit_code: int | None, value: Any) -> tuple[list[int | None], list[Any]]:
        """(exit codes, values) of all ranks. exit_code: of this one, None unless it ends."""
        data = np.frombuffer(pickle.dumps((exit_code, self.signal, value), 5), np.uint8)
        sizes = np.empty(self.size, np.int64)
        self.wait(self.comm.Iallgather(np.array([len(data)]), sizes))
        together = np.empty(int(sizes.sum()), np.uint8)
        self.wait(self.comm.Iallgatherv(data, [together, sizes, MPI.BYTE]))
        cuts = np.cumsum(sizes)[:-1]
        ended, signals, values = zip(*(pickle.loads(part.data) for part in np.split(together, cuts)))
        self.agreed_signal = max((number for number in signals if number is not None), default=None)
        return list(ended), list(values)

    def wait(self, request: Any) -> None:
        """Wait for a message. A KeyboardInterrupt waits until it has come, for PATIENCE at most."""
        began = time.monotonic()
        while not request.Test():
            now = time.monotonic()
            if now > self.deadline:
                raise TimeoutError
            try:
                time.sleep(min(0.05 * (now - began), NAP) if now - began > SPIN else 0)
            except KeyboardInterrupt:
                self.deadline = min(self.deadline, now + PATIENCE)

    def of_root(self, function: Callable[[], Value]) -> Value:
        found: list[Any] = self.gather(function() if self.is_root else None)
        value: Value = found[0]
        return value

    def in_turn(self, function: Callable[[], Value]) -> Value:
        turn, value = 0 if self.is_root else 1 if self.local_rank == 0 else 2, None
        for now in range(3):
            if now == turn:
                value = function()
            self.gather(None)
        return value  # type: ignore[return-value]

    def caught(self, signal: int | None) -> int | None:
        self.signal = signal
        return self.agreed_signal

    def choose_device(self, name: str) -> None:
        if name != "cpu":
            from engine.training.reduce_nccl import take_gpu

            take_gpu(self.local_rank)

    def use_device(self, device: str) -> None:
        if device == "cuda":
            from engine.training.reduce_nccl import nccl_transport

            self.transport = nccl_transport(self) or self.transport

    def exchange(self, values: Array, sent: Sequence[int], received: Sequence[int]) -> Array:
        self.exchanging = True
        found: Array = self.transport.exchange(values, sent, received)
        self.exchanging = False
        return found

    def collect(self, values: Array, counts: Sequence[int]) -> Array:
        self.exchanging = True
        found: Array = self.transport.collect(values, counts)
        self.exchanging = False
        return found

    @contextlib.contextmanager
    def ending_together(self) -> Iterator[None]:
        """All ranks leave this context together, by the exception of the first that has one, or without any."""
        try:
            yield
            self.gather(None)
        except RankFailed as failed:
            raise SystemExit(failed.exit_code) from None
        except BaseException as error:
            first = self.first_to_end(exit_code_of(error))
            if first is None or first == self.rank:
                raise
            raise SystemExit(exit_code_of(error)) from None

    def first_to_end(self, exit_code: int) -> int | None:
        """Tell the others that this rank ends: the first that does; None where they cannot be told, and are ended."""
        if not self.over and not self.exchanging:
            self.deadline = time.monotonic() + PATIENCE
            with contextlib.suppress(TimeoutError, KeyboardInterrupt, MPI.Exception):
                ended, _ = self.agreed(exit_code, None)
                return next(rank for rank, code in enumerate(ended) if code is not None)
        atexit.register(self.abort, exit_code)
        return None

    def abort(self, exit_code: int) -> None:
        """End all ranks at once."""
        sys.stdout.flush()
        sys.stderr.flush()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 2)  # this rank has said why; MPI says only that
        self.comm.Abort(exit_code)


def exit_code_of(error: BaseException) -> int:
    """The exit code of a process that ends by an exception, as engine.cli gives it."""
    own = getattr(error, "exit_code", getattr(error, "code", None))  # Interrupted, ClickException; SystemExit
    if isinstance(own, int):
        return own
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, (UserError, MemoryError, OSError)) else 1


class HostTransport:
    """Exchanges arrays by MPI; those of a device by way of the host."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm

    def exchange(self, values: Array, sent: Sequence[int], received: Sequence[int]) -> Array:
        host, into = on_host(values), np.empty(sum(received), values.dtype)
        self.comm.Alltoallv([host, list(sent)], [into, list(received)])
        return array_module(values).asarray(into)

    def collect(self, values: Array, counts: Sequence[int]) -> Array:
        host, into = on_host(values), np.empty(sum(counts), values.dtype)
        self.comm.Allgatherv(host, [into, list(counts)])
        return array_module(values).asarray(into)


def on_host(values: Array) -> Any:
    return np.ascontiguousarray(values if isinstance(values, np.ndarray) else values.get())
