"""Feed-forward (E8, E11, E13, E8) by kernels: GELU adds the first bias, and backward computes its output again.

So one of the (T, h) arrays is kept, where the equations keep two.
"""

from typing import NamedTuple

from engine.arrays.checks import check_floats
from engine.arrays.matmul import product
from engine.arrays.ragged import column_sums
from engine.cuda.kernels import ascontiguous, fits
from engine.types import Floats1d, Floats2d
from layers.fast import gelu_cuda
from layers.standard.linear import linear_forward


class Cache(NamedTuple):
    x: Floats2d
    expand: Floats2d
    contract: Floats2d
    activation: gelu_cuda.Cache
    mask: Floats2d | None


def supports(
    x: Floats2d,
    expand: Floats2d,
    expand_bias: Floats1d,
    contract: Floats2d,
    contract_bias: Floats1d,
    activation: str,
    mask: Floats2d | None = None,
) -> bool:
    """Whether the activation is GELU and shapes and dtypes fit. The equations report what is wrong otherwise."""
    if activation != "gelu" or x.ndim != 2 or expand.ndim != 2 or contract.ndim != 2:
        return False
    (rows, d), h, q = x.shape, expand.shape[1], contract.shape[1]
    weights = fits(expand, (d, h), x) and fits(contract, (h, q), x)
    biases = fits(expand_bias, (h,), x) and fits(contract_bias, (q,), x)
    return weights and biases and (mask is None or fits(mask, (rows, h), x))


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


def backward(dz: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d, Floats1d, Floats2d, Floats1d]:
    x, expand, contract, activated, mask = cache
    check_floats("dz", dz, (len(x), contract.shape[1]), like=x)
    y, _ = gelu_cuda.forward(*activated)
    dcontract, dcontract_bias = product((y if mask is None else y * mask).T, dz), column_sums(dz)
    dy = product(dz, contract.T)
    dy = gelu_cuda.backward(ascontiguous(dy if mask is None else dy * mask), activated)
    return product(dy, expand.T), product(x.T, dy), column_sums(dy), dcontract, dcontract_bias
