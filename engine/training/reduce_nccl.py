"""The exchange of arrays between GPUs by NCCL, through CuPy; set up by MPI, which also carries what ranks agree on.

Sends and receives are queued on the current stream, behind the backward pass and before the update, and nothing of them
waits on the host. NCCL's own sums would round in an order that depends on the number of ranks; see reduce.py.
"""

import contextlib
import platform
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.support.errors import first_line
from engine.training.reduce import Alone
from engine.types import Array


def nccl_transport(ranks: Alone) -> "NcclTransport | None":
    """The exchange between GPUs, one for each rank.

    None, with a warning, where ranks share a GPU, or one has no NCCL: then arrays travel by way of the host.
    """
    import cupy

    runtime = cupy.cuda.runtime
    device = runtime.getDevice()
    try:
        from cupy.cuda import nccl

        trouble = None if nccl.available else "CuPy finds no NCCL (pip install nvidia-nccl-cu13, or -cu12)"
    except Exception as error:  # of a library that does not load, of any kind
        nccl, trouble = None, f"NCCL cannot be loaded ({first_line(error)})"
    told = ranks.gather((trouble, runtime.deviceGetPCIBusId(device), platform.node()))
    trouble = next((found for found, _, _ in told if found), None)
    if trouble is None and len({place[1:] for place in told}) < ranks.size:
        trouble = "several ranks share a GPU"
    if trouble is not None:
        if ranks.is_root:
            warnings.warn(f"gradients travel by way of the host, which is slower: {trouble}", stacklevel=2)
        return None
    number = ranks.of_root(nccl.get_unique_id)
    return NcclTransport(nccl, nccl.NcclCommunicator(ranks.size, number, ranks.rank), ranks.rank)


def take_gpu(local_rank: int) -> None:
    """Use the GPU of a local rank from now on; without one nothing happens, and resolve_device() says why."""
    with contextlib.suppress(Exception):
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        cupy.cuda.Device(local_rank % count).use()  # Slurm may show each rank a single one


class NcclTransport:
    """Exchanges arrays of devices. nccl: the module cupy.cuda.nccl; communicator: its communicator of all ranks."""

    def __init__(self, nccl: Any, communicator: Any, rank: int) -> None:
        self.nccl, self.communicator, self.rank = nccl, communicator, rank

    def exchange(self, values: Array, sent: Sequence[int], received: Sequence[int]) -> Array:
        return self.moved(values, np.cumsum([0, *sent]).tolist(), received)

    def collect(self, values: Array, counts: Sequence[int]) -> Array:
        return self.moved(values, None, counts)

    def moved(self, values: Array, cuts: list[int] | None, received: Sequence[int]) -> Array:
        """Send values[cuts[r] : cuts[r + 1]] to each rank r, or all of them to each; what comes, in order of ranks."""
        cupy = sys.modules["cupy"]
        source: Any = cupy.ascontiguousarray(values)
        into, starts = cupy.empty(sum(received), values.dtype), np.cumsum([0, *received]).tolist()
        kind = {"float32": self.nccl.NCCL_FLOAT32, "float64": self.nccl.NCCL_FLOAT64}[values.dtype.name]
        stream, size = cupy.cuda.get_current_stream().ptr, values.dtype.itemsize
        self.nccl.groupStart()
        for peer, count in enumerate(received):
            start, stop = (0, len(values)) if cuts is None else cuts[peer : peer + 2]
            if peer == self.rank:
                into[starts[peer] : starts[peer] + count] = source[start:stop]
                continue
            if stop > start:
                self.communicator.send(source.data.ptr + size * start, stop - start, kind, peer, stream)
            if count:
                self.communicator.recv(into.data.ptr + size * starts[peer], count, kind, peer, stream)
        self.nccl.groupEnd()
        return into
