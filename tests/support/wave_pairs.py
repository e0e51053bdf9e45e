"""Every combination of a wave pair, random examples, and the promise of its float32 implementation."""

import numpy as np
import pytest
from hypothesis import strategies as st

from engine.arrays.ragged import exclusive_sum
from engine.compiled.c_file import library
from layers.fast import FUNCTIONS, wave_pair_c, wave_pair_cpu
from layers.wave import OPERATIONS, READOUTS
from tests.support.layer_laws import random_rows
from tests.support.random_bags import BAGS, random_bag

COMBINATIONS = [(operation, readout) for operation in OPERATIONS for readout in READOUTS]
ON_CPU = [(operation, readout) for operation, readouts in wave_pair_cpu.READOUTS.items() for readout in readouts]
FORMS = st.sampled_from(BAGS)
FLOAT32_BOUND = 1e-6
forward, backward = FUNCTIONS["fast"].pairs["wave_pair"]
composed_forward, composed_backward = FUNCTIONS["equations"].pairs["wave_pair"]

every_combination = pytest.mark.parametrize("operation, readout", COMBINATIONS)
every_cpu_pair = pytest.mark.parametrize("operation, readout", ON_CPU)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def case(lengths, seed, form="merged", decades=0.5, columns=3, vocabulary=4, dtype=np.float64):
    """(rng, a, b, Bag)."""
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, lengths, form, vocabulary)
    return rng, *(random_rows(rng, rows, columns, decades).astype(dtype) for _ in range(2)), bag


def cotangent(rng, bag, columns, readout, dtype=np.float32):
    return rng.standard_normal((int(bag.offsets[-1]), columns * (2 if readout == "both" else 1))).astype(dtype)


def in_float64(a, b, bag, dy, operation, readout, second=None):
    """(y, its natural scale, (da, db), their sums of absolute terms) for the same numbers."""
    a, b, dy = a.astype(float), b.astype(float), dy.astype(float)
    y, cache = composed_forward(a, b, bag, operation, readout, "dimension", second)
    slopes = composed_backward(dy, cache)
    first = bag.expand()[1]
    waves = [(bag.entries(x), wave.v[first]) for x, wave in zip((a, b), cache.caches)]
    (xa, va), (xb, vb) = waves
    if operation == "interference":
        parts = {"real": abs(xa + xb), "imaginary": va + vb, "magnitude": y}
    else:
        parts = {"real": abs(xa * xb) + va * vb, "imaginary": abs(xa) * vb + abs(xb) * va}
    scale = np.hstack([parts["real"], parts["imaginary"]]) if readout == "both" else parts[readout]
    dz = absolute_slopes(abs(dy), y, waves, readout)
    terms = []
    for x, wave, other, cut in ((a, waves[0], waves[1], bag), (b, waves[1], waves[0], second or bag)):
        dre, dim = dz
        if operation == "modulation":
            re, v = abs(other[0]), other[1]
            dre, dim = dre * re + dim * v, dim * re + dre * v
        terms.append(absolute_terms(x, dre, dim, wave, cut))
    return y, scale, slopes, terms


def absolute_slopes(dy, y, waves, readout):
    """(|dre|, |dim|) of the combined wave."""
    d = waves[0][0].shape[1]
    if readout == "both":
        return dy[:, :d], dy[:, d:]
    if readout == "magnitude":
        over = np.divide(dy, y, out=np.zeros_like(y), where=y != 0)
        return over * abs(waves[0][0] + waves[1][0]), over * (waves[0][1] + waves[1][1])
    return (dy, 0 * dy) if readout == "real" else (0 * dy, dy)


def absolute_terms(x, dre, dim, wave, bag):
    """Σ over the entries of each row: |dre| + |x|·Σ of |h| over the other tokens, for each token of the entry."""
    counts = bag.weights()[:, None]
    entry, first, offsets = bag.expand()
    h = np.divide(dim, wave[1], out=np.zeros_like(dim), where=wave[1] != 0) / counts
    of_entries = dre + abs(wave[0]) * counts * exclusive_sum(h[entry], offsets)[first]
    terms = np.zeros_like(x)
    np.add.at(terms, slice(None) if bag.row_index is None else bag.row_index, of_entries)
    return terms


def assert_keeps_the_promise(a, b, bag, operation, readout, dy, second=None):
    """y to 1e-6 of its natural scale, entry by entry, gradients to 1e-6 of the sum of their absolute terms.

    By NumPy and, where there is a compiler, in C. Returns the cache of the former.
    """
    assert a.dtype == b.dtype == dy.dtype == np.float32
    exact_y, scale, exact_slopes, terms = in_float64(a, b, bag, dy, operation, readout, second)
    cache = None
    for module in (wave_pair_c, wave_pair_cpu)[not in_c() :]:
        y, cache = module.forward(a, b, bag, operation, readout, "dimension", second)
        slopes = module.backward(dy, cache)
        assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in (y, *slopes))
        assert np.all(abs(y - exact_y) <= FLOAT32_BOUND * scale)
        for slope, exact, bound in zip(slopes, exact_slopes, terms, strict=True):
            assert np.all(abs(slope - exact) <= FLOAT32_BOUND * bound)
    return cache


def in_c():
    """Whether there is a compiler of C."""
    return not isinstance(library(wave_pair_c.FUNCTIONS), str)


def dominated(seed, tokens, ratio, scale, where):
    """(rng, a, b, Bag) of three texts of this many tokens.

    In the second a token has `ratio` times the size of the others.
    """
    rng, a, b, bag = case([tokens] * 3, seed, "rows of their own", decades=0.3, columns=2)
    if where != "only b":
        a[tokens + tokens // 2] *= ratio
    if where != "only a":
        b[tokens + (0 if where == "different tokens" else tokens // 2)] *= ratio
    return rng, *((x * scale).astype(np.float32) for x in (a, b)), bag


def in_range(operation, scale, ratio):
    """Whether all products that the equations contain are normal numbers of float32."""
    return (
        scale * ratio < 1e30
        if operation == "interference"
        else 1e-34 < scale**2 and scale**2 * ratio**2 < 1e36 and scale * ratio**2 < 1e36
    )
