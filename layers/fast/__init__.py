"""The table of implementations: which function pair can be computed faster, by which module, and where.

TABLE gives for each function pair its implementations in the order in which they are tried. A module x_cuda.py computes
by kernels on a device (and on NumPy arrays under the tests' emulator), x_c.py by functions in C, where there is a
compiler, x_cpu.py by whole arrays. Each has

    supports(*arguments)      whether it computes these; it lists what it knows
    forward, backward         as those of the function pair
    Cache                     the type of its cache, by which backward finds it again

A call that none of them supports goes to the equation.
"""

import inspect
from types import ModuleType
from typing import Any

from engine.cuda.kernels import ascontiguous, uses_kernels
from engine.implementation import Functions, Implementation, dispatched
from engine.types import Array
from layers.equations import EQUATIONS, with_compositions
from layers.fast import (
    bag_magnitude_c,
    bag_magnitude_cpu,
    bag_magnitude_cuda,
    bag_pooling_cpu,
    bag_pooling_cuda,
    feed_forward_cuda,
    gelu_cuda,
    layer_norm_c,
    layer_norm_cuda,
    sigmoid_cross_entropy_cuda,
    softmax_cross_entropy_c,
    softmax_cross_entropy_cuda,
    wave_pair_c,
    wave_pair_cpu,
    wave_pair_cuda,
)


def on_host(module: ModuleType) -> Implementation:
    """The Implementation of a module x_cpu.py or x_c.py."""
    return Implementation(module.supports, module.forward, module.backward, module.Cache)


def by_kernels(module: ModuleType) -> Implementation:
    """The Implementation of a module x_cuda.py: for arrays of a device, in C order."""

    first = next(iter(inspect.signature(module.forward).parameters))

    def supports(*arguments: Any, **named: Any) -> bool:
        x = arguments[0] if arguments else named[first]
        return uses_kernels(x) and module.supports(*arguments, **named)

    def forward(*arguments: Any, **named: Any) -> tuple[Any, Any]:
        ordered = {name: ascontiguous(value) for name, value in named.items()}
        return module.forward(*map(ascontiguous, arguments), **ordered)

    def backward(dy: Any, cache: Any) -> Any:
        return module.backward(ascontiguous(dy), cache)

    return Implementation(supports, forward, backward, module.Cache)


TABLE: dict[str, list[Implementation]] = {
    "wave_pair": [by_kernels(wave_pair_cuda), on_host(wave_pair_c), on_host(wave_pair_cpu)],
    "bag_magnitude": [by_kernels(bag_magnitude_cuda), on_host(bag_magnitude_c), on_host(bag_magnitude_cpu)],
    "bag_pooling": [by_kernels(bag_pooling_cuda), on_host(bag_pooling_cpu)],
    "layer_norm_sum": [by_kernels(layer_norm_cuda), on_host(layer_norm_c)],
    "feed_forward": [by_kernels(feed_forward_cuda)],
    "gelu": [by_kernels(gelu_cuda)],
    "softmax_cross_entropy": [by_kernels(softmax_cross_entropy_cuda), on_host(softmax_cross_entropy_c)],
    "sigmoid_cross_entropy": [by_kernels(sigmoid_cross_entropy_cuda)],
}


def functions_of(implementation: str) -> Functions:
    """The Functions of "equations", "fast" or "check", compositions included."""
    equations = with_compositions(EQUATIONS)
    return equations if implementation == "equations" else dispatched(equations, TABLE, implementation == "check")


FUNCTIONS = {name: functions_of(name) for name in ("equations", "fast", "check")}


def needs_inverse_index(x: Array) -> bool:
    """Whether the implementations for arrays like x read the inverse indices of bags."""
    return uses_kernels(x)


def has_kernels(operation: str, readout: str, scope: str) -> bool:
    """Whether there are kernels for this wave pair; else a bag is expanded token by token for the equations."""
    return wave_pair_cuda.implements(operation, readout, scope)
