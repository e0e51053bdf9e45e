"""E11 by kernels (gelu.cu). Kept for backward: x alone, 4 bytes an entry in float32."""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats
from engine.cuda.kernels import KernelFile, blocks_of

ROWS = 4  # of a thread
KERNELS = KernelFile(__file__, ROWS=ROWS)
THREADS = 256


class Cache(NamedTuple):
    x: object
    bias: object


def supports(x, bias=None):
    return x.ndim == 2


def forward(x, bias=None):
    y = array_module(x).empty_like(x)
    KERNELS.launch("gelu_forward", x, blocks_for(x), (THREADS,), x, bias, y, *x.shape)
    return y, Cache(x, bias)


def backward(dy, cache):
    x, bias = cache
    check_floats("dy", dy, x.shape, like=x)
    dx = array_module(dy, x).empty_like(x)
    KERNELS.launch("gelu_backward", dy, blocks_for(x), (THREADS,), dy, x, bias, dx, *x.shape)
    return dx


def blocks_for(x):
    return blocks_of(len(x), ROWS), blocks_of(x.shape[1], THREADS)
