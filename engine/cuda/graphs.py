"""Forward, backward and norm of a training step as one CUDA graph, which costs the host a launch instead of some fifty.

A network that can (its padded() says so) has its batches padded to a few sizes. The first step of a size runs as always, the second
is recorded while it runs through the same code, and later ones are replayed on integers that one copy brings. What a graph computes
lies in memory that all graphs of a training share: it holds until the next step. The optimizer's launches, whose scalars change with
every step, stay outside, and so does everything where numbers are drawn on the device.
WAVE_GRAPHS says how: `on` (default; only where kernels run, cuBLAS can be called directly and the device can record) or `off`.
"""

import os
import sys
import warnings
from contextlib import contextmanager, nullcontext
from functools import cache

import numpy as np

from engine.arrays import backend
from engine.arrays.backend import arrays_of, move_together, replaced
from engine.cuda import cublas
from engine.implementation import current
from engine.layer import RowSparse
from engine.support.errors import UserError

MODES = ("on", "off")
MOST_GRAPHS = 128  # kept; batches of further sizes are padded and run without
SLOTS = 8  # steps that the host may be ahead of the copies of their integers


def mode():
    """The value of WAVE_GRAPHS. UserError for one that does not exist."""
    chosen = os.environ.get("WAVE_GRAPHS", "on")
    if chosen not in MODES:
        raise UserError(f"WAVE_GRAPHS={chosen}: must be one of {', '.join(MODES)}")
    return chosen


@contextmanager
def without_graphs():
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


def padded_batch(network, batch, rng):
    """What network.padded() makes of a batch; None where it makes nothing, or nothing is wanted."""
    prepare = getattr(network, "padded", None)
    return None if prepare is None or mode() == "off" or current() != "fast" else prepare(batch, rng)


class GradientGraphs:
    """The graphs of a training. replayed: how many steps were taken from one.

    lasting: ids of the gradients of the newest of these, which are the same arrays whenever it is replayed; tables: what the
    optimizer has made for them, see adamw_cuda.known_tables.
    """

    def __init__(self, measure):
        """measure: (parameters, loss, limit of the norm, control), puts the norm of the gradient into control."""
        self.measure = measure
        self.met, self.graphs, self.tables, self.values = set(), {}, {}, []
        self.works, self.pool, self.allocated, self.slots = True, None, None, []
        self.replayed, self.lasting = 0, set()

    def gradients(self, network, optimizer, padded, rng, clip_norm):
        """(loss, cache) of a padded batch, with the gradient in the parameters and its norm in optimizer.control.

        padded: (tree of host arrays that loss_forward takes when it lies on the device, number of rows of a RowSparse gradient).
        """
        tree, row_count = padded
        values = [p.value for p in optimizer.parameters.values()]
        if len(values) != len(self.values) or any(a is not b for a, b in zip(values, self.values)):
            self.met, self.values = set(), values
            self.forget()  # graphs hold the addresses of others
        if self.has_given_back():
            self.give_up("the memory of the device ran short")
        direct = cublas.of_device(values[0])
        if (
            direct is not None and self.works and direct.current_stream() != 0
        ):  # only this one waits for all others, and they for it
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

    def place(self, direct):
        """Context in which steps run: with a stream that can be recorded, and memory that nothing else takes."""
        if direct is None or not self.works:
            return nullcontext()
        cupy = sys.modules["cupy"]
        if self.pool is None:
            self.allocated = Allocated(cupy)
            self.pool = cupy.cuda.MemoryPool(self.allocated)
            backend.private_pools.add(self)
        return working_in(cupy, stream_of(cupy, cupy.cuda.runtime.getDevice()), self.pool)

    def has_given_back(self):
        """Whether memory is gone that graphs write to: a pool that finds no more gives back what is free, and theirs it takes for free."""
        return self.pool is not None and self.pool.total_bytes() < self.allocated.bytes

    def forget(self):
        """Replay none of the graphs any more."""
        self.graphs, self.tables = {}, {}

    def give_up(self, reason):
        """Record and replay nothing from now on."""
        warnings.warn(f"steps are not recorded as CUDA graphs, which is slower: {reason}", stacklevel=2)
        self.works = False
        self.forget()
        if self.pool is not None:
            self.pool.free_all_blocks()
            self.allocated.bytes = self.pool.total_bytes()

    def recorded(self, direct, network, optimizer, tree, rng, clip_norm):
        """The Graph of a step, not yet run. None where the device refuses or has too little memory; nothing is recorded from then on."""
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
        except (
            RuntimeError,
            MemoryError,
        ) as error:  # of CUDA and cuBLAS, and CuPy's NotImplementedError and OutOfMemoryError
            self.give_up(error)
            return None
        if self.has_given_back():
            return None  # the next step gives up
        grads = {name: self.borrowed(p.grad) for name, p in optimizer.parameters.items()}
        network.zero_grad()
        cache = cache._replace(
            network=None, loss=None, logits=self.borrowed(cache.logits)
        )  # else all that is in between would be kept
        return Graph(graph, stream, integers, cuts, self.borrowed(loss), cache, grads)

    def borrowed(self, x):
        """The same array without a claim to its memory, which the next graph may use again; the pool lives as long."""
        if x is None:
            return None
        if isinstance(x, RowSparse):
            return RowSparse(x.rows, self.borrowed(x.values))  # rows are among the integers
        cupy = sys.modules["cupy"]
        memory = cupy.cuda.UnownedMemory(x.data.ptr, max(1, x.nbytes), self.pool, x.data.device_id)
        return cupy.ndarray(x.shape, x.dtype, cupy.cuda.MemoryPointer(memory, 0))

    def replay(self, graph, leaves, parameters):
        """Run a graph on the integers of a step."""
        cupy = sys.modules["cupy"]
        host, event = self.slot(cupy, graph.cuts[-1])
        for leaf, start, stop in zip(leaves, graph.cuts, graph.cuts[1:]):
            host[start:stop] = leaf
        runtime = cupy.cuda.runtime
        runtime.memcpyAsync(
            graph.integers.data.ptr, host.ctypes.data, 8 * graph.cuts[-1], runtime.memcpyHostToDevice, graph.stream.ptr
        )
        event.record(graph.stream)
        graph.graph.launch(graph.stream)
        self.replayed += 1
        for name, parameter in parameters.items():
            parameter.grad = graph.grads[name]
        return graph.loss, graph.cache

    def slot(self, cupy, count):
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

    def pool_bytes(self):
        """Bytes of the device that are kept for steps."""
        return self.pool.total_bytes()


class Allocated:
    """New memory of a device, for a pool. bytes: how much of it in all, which is the pool's size unless it gave some back."""

    def __init__(self, cupy):
        self.cupy, self.bytes = cupy, 0

    def __call__(self, size):
        memory = self.cupy.cuda.MemoryPointer(self.cupy.cuda.Memory(size), 0)
        self.bytes += size
        return memory


class Graph:
    """A recorded step, and where its integers go and its results lie."""

    def __init__(self, graph, stream, integers, cuts, loss, cache, grads):
        self.graph, self.stream, self.integers, self.cuts = graph, stream, integers, cuts
        self.loss, self.cache, self.grads = loss, cache, grads
        self.gradient_ids = set(map(id, grads.values()))


def computed(measure, network, optimizer, moved, rng, clip_norm):
    """(loss, cache): the part of a step that is recorded."""
    network.zero_grad()
    loss, cache = network.loss_forward(moved, train=True, rng=rng)
    network.loss_backward(cache)
    measure(optimizer.parameters, loss, clip_norm, optimizer.control)
    return loss, cache


@cache
def stream_of(cupy, device):
    """The stream of all recorded steps of a device: one that waits for the default stream, and for which that waits."""
    return cupy.cuda.Stream()


@contextmanager
def working_in(cupy, stream, pool):
    with cupy.cuda.using_allocator(pool.malloc), stream:
        yield stream
