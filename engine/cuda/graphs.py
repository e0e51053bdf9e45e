"""Forward, backward and norm of a training step as one CUDA graph, which costs the host a launch instead of some fifty.

A network that can (its padded() says so) has its batches padded to a few sizes. The first step of a size runs as
always, the second is recorded while it runs through the same code, and later ones are replayed on integers that one
copy brings. What a graph computes lies in memory that all graphs of a training share: it holds until the next step. The
optimizer's launches, whose scalars change with every step, stay outside, and so does everything where numbers are drawn
on the device. WAVE_GRAPHS says how: `on` (default; only where kernels run, cuBLAS can be called directly and the device
can record) or `off`.
"""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import numpy as np

from engine.arrays import backend
from engine.arrays.backend import arrays_of, move_together, replaced
from engine.cuda import cublas
from engine.cuda.cublas import Cublas
from engine.layer import Parameter, RowSparse
from engine.support.errors import UserError
from engine.support.implementation import current

MODES = ("on", "off")
MOST_GRAPHS = 128  # kept; batches of further sizes are padded and run without
SLOTS = 8  # steps that the host may be ahead of the copies of their integers


def mode() -> str:
    """The value of WAVE_GRAPHS. UserError for one that does not exist."""
    chosen = os.environ.get("WAVE_GRAPHS", "on")
    if chosen not in MODES:
        raise UserError(f"WAVE_GRAPHS={chosen}: must be one of {', '.join(MODES)}")
    return chosen


@contextmanager
def without_graphs() -> Iterator[None]:
    """Steps run as under WAVE_GRAPHS=off while the context lasts: for what looks into them."""
    before = os.environ.get("WAVE_GRAPHS")
    os.environ["WAVE_GRAPHS"] = "off"
    try:
        yield
    finally:
        if before is None:
            del os.environ["WAVE_GRAPHS"]
        else:
            os.environ["WAVE_GRAPHS"] = before


def padded_batch(network: Any, batch: Any, rng: Any) -> tuple[Any, int] | None:
    """The result of network.padded(batch, rng); None where it pads nothing, or no graphs are wanted."""
    prepare = getattr(network, "padded", None)
    return None if prepare is None or mode() == "off" or current() != "fast" else prepare(batch, rng)


class GradientGraphs:
    """The graphs of a training. replayed: how many steps were taken from one.

    lasting: ids of the gradients of the newest of these, which are the same arrays whenever it is replayed;
    tables: what the optimizer has made for them, see adamw_cuda.known_tables.
    """

    def __init__(self, measure: Callable[..., None]):
        """measure: (parameters, loss, limit of the norm, control), puts the norm of the gradient into control."""
        self.measure = measure
        self.met: set[tuple[Any, ...]] = set()  # sizes of batches that ran without a graph
        self.graphs: dict[tuple[Any, ...], Graph] = {}
        self.tables: dict[Any, Any] = {}
        self.values: list[Any] = []  # of the parameters whose addresses the graphs hold
        self.slots: list[tuple[Any, Any]] = []
        self.works, self.replayed = True, 0
        self.pool: Any = None
        self.allocated: Any = None
        self.lasting: set[int] = set()

    def gradients(
        self, network: Any, optimizer: Any, padded: tuple[Any, int], rng: Any, clip_norm: float
    ) -> tuple[Any, Any]:
        """(loss, cache) of a padded batch, with the gradient in the parameters and its norm in optimizer.control.

        padded: (tree of host arrays that loss_forward takes when it lies on the device, number of rows of a RowSparse
        gradient).
        """
        tree, row_count = padded
        values = [p.value for p in optimizer.parameters.values()]
        if len(values) != len(self.values) or any(a is not b for a, b in zip(values, self.values)):
            self.met, self.values = set(), values
            self.forget()  # graphs hold the addresses of others
        if self.has_given_back():
            self.give_up("the memory of the device ran short")
        direct = cublas.of_device(values[0])
        if direct is not None and self.works and direct.current_stream() != 0:
            # Only the default stream waits for all others, and they for it.
            self.give_up("the current stream is not the default one")
        leaves = arrays_of(tree)
        key = (*map(len, leaves), clip_norm, direct is not None and direct.uses_tf32())
        graph = self.graphs.get(key)
        if graph is None and direct is not None and key in self.met and len(self.graphs) < MOST_GRAPHS and self.works:
            graph = self.recorded(direct, network, optimizer, tree, rng, clip_norm)
            if graph is not None:
                self.graphs[key] = graph
        self.lasting = set() if graph is None else graph.gradient_ids
        if graph is None:
            self.met.add(key)
            with self.place(direct):
                loss, cache = computed(self.measure, network, optimizer, move_together(tree, values[0]), rng, clip_norm)
        else:
            loss, cache = self.replay(graph, leaves, optimizer.parameters)
        for parameter in optimizer.parameters.values():
            if isinstance(parameter.grad, RowSparse):
                parameter.grad = RowSparse(parameter.grad.rows[:row_count], parameter.grad.values[:row_count])
        return loss, cache

    def place(self, direct: Cublas | None) -> AbstractContextManager[Any]:
        """Context in which steps run: with a stream that can be recorded, and memory that nothing else takes."""
        if direct is None or not self.works:
            return nullcontext()
        cupy = sys.modules["cupy"]
        if self.pool is None:
            self.allocated = Allocated(cupy)
            self.pool = cupy.cuda.MemoryPool(self.allocated)
            backend.private_pools.add(self)
        return working_in(cupy, stream_of(cupy, cupy.cuda.runtime.getDevice()), self.pool)

    def has_given_back(self) -> bool:
        """Whether memory is gone that graphs write to.

        A pool that finds no more memory gives back what is free, and it takes that of graphs for free.
        """
        return self.pool is not None and self.pool.total_bytes() < self.allocated.bytes

    def forget(self) -> None:
        """Replay none of the graphs any more."""
        self.graphs, self.tables = {}, {}

    def give_up(self, reason: str | Exception) -> None:
        """Record and replay nothing from now on."""
        warnings.warn(f"steps are not recorded as CUDA graphs, which is slower: {reason}", stacklevel=2)
        self.works = False
        self.forget()
        if self.pool is not None:
            self.pool.free_all_blocks()
            self.allocated.bytes = self.pool.total_bytes()

    def recorded(
        self, direct: Cublas, network: Any, optimizer: Any, tree: Any, rng: Any, clip_norm: float
    ) -> "Graph | None":
        """The Graph of a step, not yet run.

        None where the device refuses or has too little memory; nothing is recorded from then on.
        """
        cupy = sys.modules["cupy"]
        leaves = arrays_of(tree)
        cuts = np.cumsum([0, *map(len, leaves)]).tolist()
        integers = cupy.empty(cuts[-1], np.int64)
        moved = replaced(tree, leaves, [integers[start:stop] for start, stop in zip(cuts, cuts[1:])])
        try:
            with self.place(direct) as stream:
                direct.follow_stream()
                stream.begin_capture()
                try:
                    loss, cache = computed(self.measure, network, optimizer, moved, rng, clip_norm)
                finally:
                    graph = stream.end_capture()
        except (RuntimeError, MemoryError) as error:  # CUDA's, cuBLAS's, CuPy's NotImplementedError, OutOfMemoryError
            self.give_up(error)
            return None
        if self.has_given_back():
            return None  # the next step gives up
        grads = {name: self.borrowed(p.grad) for name, p in optimizer.parameters.items()}
        network.zero_grad()
        # Without the inner caches, else all that is in between would be kept.
        cache = cache._replace(network=None, loss=None, logits=self.borrowed(cache.logits))
        return Graph(graph, stream, integers, cuts, self.borrowed(loss), cache, grads)

    def borrowed(self, x: Any) -> Any:
        """The same array without a claim to its memory, which the next graph may use again; the pool lives as long."""
        if x is None:
            return None
        if isinstance(x, RowSparse):
            return RowSparse(x.rows, self.borrowed(x.values))  # rows are among the integers
        cupy = sys.modules["cupy"]
        memory = cupy.cuda.UnownedMemory(x.data.ptr, max(1, x.nbytes), self.pool, x.data.device_id)
        return cupy.ndarray(x.shape, x.dtype, cupy.cuda.MemoryPointer(memory, 0))

    def replay(self, graph: "Graph", leaves: list[Any], parameters: dict[str, Parameter]) -> tuple[Any, Any]:
        """Run a graph on the integers of a step."""
        cupy = sys.modules["cupy"]
        host, event = self.slot(cupy, graph.cuts[-1])
        for leaf, start, stop in zip(leaves, graph.cuts, graph.cuts[1:]):
            host[start:stop] = leaf
        runtime, size = cupy.cuda.runtime, 8 * graph.cuts[-1]
        to_device = runtime.memcpyHostToDevice
        runtime.memcpyAsync(graph.integers.data.ptr, host.ctypes.data, size, to_device, graph.stream.ptr)
        event.record(graph.stream)
        graph.graph.launch(graph.stream)
        self.replayed += 1
        for name, parameter in parameters.items():
            parameter.grad = graph.grads[name]
        return graph.loss, graph.cache

    def slot(self, cupy: Any, count: int) -> tuple[Any, Any]:
        """(integers of the host that a copy takes from without the host's waiting, the event to record behind it)."""
        if len(self.slots) < SLOTS:
            host, event = np.empty(0, np.int64), cupy.cuda.Event(disable_timing=True)
        else:
            host, event = self.slots.pop(0)
            event.synchronize()
        if len(host) < count:
            host = np.frombuffer(cupy.cuda.alloc_pinned_memory(16 * count), np.int64, 2 * count)
        self.slots.append((host, event))
        return host, event

    def pool_bytes(self) -> int:
        """Bytes of the device that are kept for steps."""
        return int(self.pool.total_bytes())


class Allocated:
    """New memory of a device, for a pool. bytes: how much in all, which is the pool's size unless it gave some back."""

    def __init__(self, cupy: Any):
        self.cupy, self.bytes = cupy, 0

    def __call__(self, size: int) -> Any:
        memory = self.cupy.cuda.MemoryPointer(self.cupy.cuda.Memory(size), 0)
        self.bytes += size
        return memory


class Graph:
    """A recorded step, and where its integers go and its results lie."""

    def __init__(
        self, graph: Any, stream: Any, integers: Any, cuts: list[int], loss: Any, cache: Any, grads: dict[str, Any]
    ):
        self.graph, self.stream, self.integers, self.cuts = graph, stream, integers, cuts
        self.loss, self.cache, self.grads = loss, cache, grads
        self.gradient_ids = set(map(id, grads.values()))


def computed(
    measure: Callable[..., None], network: Any, optimizer: Any, moved: Any, rng: Any, clip_norm: float
) -> tuple[Any, Any]:
    """(loss, cache): the part of a step that is recorded."""
    network.zero_grad()
    loss, cache = network.loss_forward(moved, train=True, rng=rng)
    network.loss_backward(cache)
    measure(optimizer.parameters, loss, clip_norm, optimizer.control)
    return loss, cache


@cache
def stream_of(cupy: Any, device: int) -> Any:
    """The stream of all recorded steps of a device: one that waits for the default stream, and for which that waits."""
    return cupy.cuda.Stream()


@contextmanager
def working_in(cupy: Any, stream: Any, pool: Any) -> Iterator[Any]:
    """Work on a stream with the memory of a pool."""
    with cupy.cuda.using_allocator(pool.malloc), stream:
        yield stream
