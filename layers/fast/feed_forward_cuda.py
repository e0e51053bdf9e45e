"""The feed-forward part by kernels: the first bias is added within GELU, whose output is computed again in backward.

So of the (T, h) arrays one is kept, where the equations keep two.
"""

from typing import NamedTuple

from engine.arrays.matmul import product
from engine.arrays.ragged import column_sums
from engine.cuda.kernels import ascontiguous
from engine.types import Floats1d, Floats2d
from layers.fast import gelu_cuda
from layers.standard.linear import linear_forward


class Cache(NamedTuple):
    x: Floats2d
    expand: Floats2d
    contract: Floats2d
    activation: gelu_cuda.Cache
    mask: Floats2d | None


def supports(x, expand, expand_bias, contract, contract_bias, activation, mask=None) -> bool:
    return activation == "gelu" and x.ndim == 2


def forward(
    x: Floats2d,
    expand: Floats2d,
    expand_bias: Floats1d,
    contract: Floats2d,
    contract_bias: Floats1d,
    activation: str,
    mask: Floats2d | None = None,
) -> tuple[Floats2d, Cache]:
    y, activated = gelu_cuda.forward(product(x, expand), expand_bias)
    z, _ = linear_forward(y if mask is None else y * mask, contract, contract_bias)
    return z, Cache(x, expand, contract, activated, mask)


def backward(dz: Floats2d, cache: Cache) -> tuple:
    x, expand, contract, activated, mask = cache
    y, _ = gelu_cuda.forward(*activated)
    dcontract, dcontract_bias = product((y if mask is None else y * mask).T, dz), column_sums(dz)
    dy = product(dz, contract.T)
    dy = gelu_cuda.backward(ascontiguous(dy if mask is None else dy * mask), activated)
    return product(dy, expand.T), product(x.T, dy), column_sums(dy), dcontract, dcontract_bias
