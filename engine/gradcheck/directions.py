"""Random directions, and by how much the entries of an array may move along them."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .arrays import Array, Direction, real_parts

RAISE_TOWARDS = 0.1  # small entries are moved as if they were this fraction of the largest of their block …
RAISE_AT_MOST = 1e3  # … but by no more than this factor, or a step would leave the neighbourhood of the entry


def random_unit(shaped_like: Iterable[Any], rng: np.random.Generator) -> Direction:
    """Draw host arrays like the given ones that form one vector of norm 1, every part at least 0.1/√N away from 0."""
    shaped_like, parts = list(shaped_like), []
    for like in shaped_like:
        shape = (*like.shape, 2) if like.dtype.kind == "c" else like.shape
        part = np.asarray(rng.uniform(-0.9, 0.9, shape))
        part += np.copysign(0.1, part)
        parts.append(part)
    length = math.sqrt(sum(float(np.vdot(part, part)) for part in parts)) or 1.0
    for part in parts:
        part /= length
    return [
        np.asarray(p[..., 0] + 1j * p[..., 1] if like.dtype.kind == "c" else p) for p, like in zip(parts, shaped_like)
    ]


def entry_scales(x: Array) -> Array:
    """Return by how much each entry may move: its magnitude, small ones raised, zeros as the smallest other entry.

    A block of zeros gets 1. Purely relative scales would leave the gradient of tiny entries unseen; one scale a block
    would throw tiny entries far away from where the gradient is taken.
    """
    size = np.max(np.abs(real_parts(x)), axis=-1) if x.dtype.kind == "c" else np.abs(x)
    size = size.astype(np.float64, copy=False)
    largest = float(size.max(initial=0.0))
    if largest == 0.0:
        return np.ones(x.shape)
    if not size.all():
        size = np.where(size > 0, size, size[size > 0].min())
    scales: Array = np.maximum(size, np.minimum(RAISE_TOWARDS * largest, RAISE_AT_MOST * size))
    return scales
