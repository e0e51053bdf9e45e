"""E18  Scaled dot-product attention of several heads, within each text.

    a_jl = q_j·k_l/√d_H      ω_jl = exp(a_jl − m_j)      m_j = log Σ_{l∈S_t} exp a_jl      y_j = Σ_{l∈S_t} ω_jl·v_l

    dω_jl = dy_j·v_l        D_j = Σ_l ω_jl·dω_jl = dy_j·y_j        da_jl = ω_jl·(dω_jl − D_j)
    dq_j = Σ_l da_jl·k_l/√d_H        dk_l = Σ_j da_jl·q_j/√d_H        dv_l = Σ_j ω_jl·dy_j

j and l run over the tokens of one text, so texts do not see each other and nothing is padded. A head is d_H = d/H
neighbouring columns of q, k, v and y; heads do not see each other. Kept for backward are the inputs and m, one number
for each token and head: the scores, n numbers each, are computed again, for a block of rows at a time, so that memory
is linear in the length of texts. m_j lies between the largest score and log n above it: nothing overflows while the
products q_j·k_l are finite. Smooth everywhere; a one-token text has y = v, dv = dy, dq = dk = 0 exactly. Unit: that of
v. Source: Vaswani et al., arXiv 1706.03762 (the equation); Rabe & Staats, arXiv 2112.05682 (scores computed again).
Derivation: attention.md.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.checks import check_floats, check_offsets
from engine.arrays.ragged import nonempty
from engine.types import Floats, Floats2d, Offsets

BLOCK_SCORES = 1 << 19  # formed at a time: 2 MiB in float32
BLOCK_ROWS = 128  # of a long text, while one head has room for them: with fewer, adding to dk and dv takes the time


class Cache(NamedTuple):
    q: Floats2d
    k: Floats2d
    v: Floats2d
    m: Floats2d  # (H, T)
    offsets: Offsets
    heads: int


def attention_forward(q: Floats2d, k: Floats2d, v: Floats2d, offsets: Offsets, heads: int) -> tuple[Floats2d, Cache]:
    """q, k, v: (T, d), offsets: (B + 1,), heads H, a divisor of d → y: (T, d), and the cache.

    The loop over texts runs on the host: offsets that are there need not be waited for. Raises ValueError for a wrong
    dtype, shape, offsets or number of heads.
    """
    check_floats("q", q, ("T", "d"))
    check_floats("k", k, q.shape, like=q)
    check_floats("v", v, q.shape, like=q)
    check_offsets(offsets, len(q))
    if not 1 <= heads <= q.shape[1] or q.shape[1] % heads:
        raise ValueError(f"heads: must be a divisor of the {q.shape[1]} columns, got {heads}")
    xp = array_module(q, k, v)
    y = xp.zeros(q.shape, np.result_type(q.dtype, k.dtype, v.dtype))
    m = xp.zeros((heads, len(q)), np.result_type(q.dtype, k.dtype))
    of_heads = by_head(heads, q, k, v, y)
    for some, rows, text in blocks(offsets, heads):
        q_h, k_h, v_h, y_h = (x[some, part] for x, part in zip(of_heads, (rows, text, text, rows)))
        a = scores(q_h, k_h)
        largest = a.real.max(axis=2, keepdims=True)  # a constant for each row; of the real part, for complex step
        exponentials = xp.exp(a - largest)
        total = exponentials.sum(axis=2, keepdims=True)
        y_h[...] = (exponentials @ v_h) / total
        m[some, rows] = (largest + xp.log(total))[:, :, 0]
    return y, Cache(q, k, v, m, offsets, heads)


def attention_backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d, Floats2d]:
    """dy: (T, d) → (dq, dk, dv), each (T, d)."""
    q, k, v, m, offsets, heads = cache
    check_floats("dy", dy, q.shape, like=v)
    xp = array_module(dy, q)
    dq, dk, dv = (xp.zeros(x.shape, dy.dtype) for x in (q, k, v))
    scale = 1 / math.sqrt(q.shape[1] // heads)
    of_heads = by_head(heads, q, k, v, dy, dq, dk, dv)
    for some, rows, text in blocks(offsets, heads):
        q_h, k_h, v_h, dy_h, dq_h, dk_h, dv_h = (
            x[some, part] for x, part in zip(of_heads, (rows, text, text, rows, rows, text, text))
        )
        omega = xp.exp(scores(q_h, k_h) - m[some, rows, None])
        da = dy_h @ v_h.transpose(0, 2, 1)
        # D is taken from the very same numbers: dy·y would leave rounding where ω is 1.
        da -= xp.einsum("hjl,hjl->hj", omega, da)[:, :, None]
        da *= omega * scale
        dq_h[...] = da @ k_h
        dk_h += da.transpose(0, 2, 1) @ q_h
        dv_h += omega.transpose(0, 2, 1) @ dy_h
    return dq, dk, dv


def scores(q: Floats, k: Floats) -> Floats:
    """q: (H, r, d_H), k: (H, n, d_H) → a: (H, r, n)."""
    a: Floats = (q @ k.transpose(0, 2, 1)) * q.dtype.type(1 / math.sqrt(q.shape[2]))
    return a


def by_head(heads: int, *arrays: Floats2d) -> list[Floats]:
    """Views (H, T, d_H) of (T, d) arrays: to write into one is to write into the other."""
    return [x.reshape(len(x), heads, x.shape[1] // heads).transpose(1, 0, 2) for x in arrays]


def blocks(offsets: Offsets, heads: int) -> Iterator[tuple[slice, slice, slice]]:
    """(some, rows, text): slices of the heads and rows whose scores are formed together, and of their text."""
    for _, start, stop in nonempty(offsets):
        together, size = block_shape(stop - start, heads)
        for head in range(0, heads, together):
            for first in range(start, stop, size):
                yield (
                    slice(head, min(head + together, heads)),
                    slice(first, min(first + size, stop)),
                    slice(start, stop),
                )


def block_shape(n: int, heads: int) -> tuple[int, int]:
    """(heads, rows) of a block of a text of n tokens.

    All heads while BLOCK_ROWS rows of each fit, then fewer, then fewer rows.
    """
    together = max(1, min(heads, BLOCK_SCORES // (n * min(n, BLOCK_ROWS))))
    return together, max(1, min(n, BLOCK_SCORES // (n * together)))
