"""E11 by kernels (gelu_cuda.cu), of x + bias. Kept for backward: x alone, 4 bytes an entry in float32."""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats
from engine.cuda.kernels import KernelFile, blocks_of
from engine.types import Floats1d, Floats2d

ROWS = 4  # of a thread
KERNELS = KernelFile(__file__, ROWS=ROWS)
THREADS = 256


class Cache(NamedTuple):
    x: Floats2d
    bias: Floats1d | None


def supports(x: Floats2d) -> bool:
    return x.ndim == 2


def forward(x: Floats2d, bias: Floats1d | None = None) -> tuple[Floats2d, Cache]:
    """bias: (d,), added to every row first, without an array for the sum; see feed_forward_cuda.py."""
    y = array_module(x).empty_like(x)
    KERNELS.launch("gelu_forward", x, blocks_for(x), (THREADS,), x, bias, y, *x.shape)
    return y, Cache(x, bias)


def backward(dy: Floats2d, cache: Cache) -> Floats2d:
    x, bias = cache
    check_floats("dy", dy, x.shape, like=x)
    dx: Floats2d = array_module(dy, x).empty_like(x)
    KERNELS.launch("gelu_backward", dy, blocks_for(x), (THREADS,), dy, x, bias, dx, *x.shape)
    return dx


def blocks_for(x: Floats2d) -> tuple[int, int]:
    return blocks_of(len(x), ROWS), blocks_of(x.shape[1], THREADS)
