"""The body of wave_pair.py for float32 on the CPU: text by text, in buffers that stay in a core's cache.

Per text of P entries x_p with counts c_p, all sums in float64:

    v_p² = Σ_l c_l·x_l² − x_p²                 dx_p = dre_p + x_p·(c_p·Σ_l h_l − h_p),   h = dim/v over all tokens of an entry

Both differences may cancel, which E4 avoids by keeping the largest term apart. Float64 has 29 bits more than float32, so that
this is needed only where one entry outweighs the rest by about 1e4 (v) or 1e8 (h): such texts are noticed by looking at
the differences themselves, and go through the plain body, as do texts whose squares could leave the range of float32.
"""

from typing import NamedTuple

import numpy as np

from engine.arguments import check_floats
from engine.bag import Bag, sum_entries
from engine.ragged import nonempty

FAST_READOUTS = {"interference": ("real", "imaginary", "magnitude", "both"), "modulation": ("real", "imaginary", "both")}
ROUNDING = 1e-9  # of a sum of one term in float64, relative to a result that may be off by 1e-7
LEAST, LARGEST = 1e-20, 1e36  # sums of squares between which single ones, and sums of two, are normal numbers of float32


class Cache(NamedTuple):
    """v_a, v_b: (P, d) norms of the others. plain: texts that went through the plain body, with their caches."""

    a: np.ndarray
    b: np.ndarray
    v_a: np.ndarray
    v_b: np.ndarray
    y: np.ndarray
    bag: Bag
    operation: str
    readout: str
    plain: dict


def applies(a, operation, readout, scope):
    """Whether this body computes the pair: float32 on the host, magnitudes per dimension, readouts without atan2."""
    return isinstance(a, np.ndarray) and a.dtype == np.float32 and scope == "dimension" and readout in FAST_READOUTS[operation]


class Text(NamedTuple):
    """One text's entries. rows: its slice of the P entries; places: of its entries in a and b; weights: (n,) float64 counts."""

    number: int
    rows: slice
    places: np.ndarray | slice
    weights: np.ndarray

    def rows_of(self, x, out):
        """(n, d): the rows of x of this text's entries; in `out` unless they lie together anyway."""
        if isinstance(self.places, slice):
            return x[self.places]
        return np.take(x, self.places, axis=0, out=out[: len(self.places)], mode="clip")  # mode raise would copy once more

    def alone(self):
        """The Bag of this text over its own entries."""
        return Bag(None, self.weights.astype(np.int64), np.array([0, len(self.weights)]))


def texts_of(bag):
    weights = bag.weights().astype(np.float64)
    for number, start, stop in nonempty(bag.offsets):
        rows = slice(start, stop)
        yield Text(number, rows, rows if bag.places is None else bag.places[rows], weights[rows])


def buffers(count, bag, columns, dtype=np.float32):
    """`count` arrays of as many rows as the longest text has entries."""
    return np.empty((count, max(1, int(np.diff(bag.offsets).max(initial=0))), columns), dtype)


def forward(a, b, bag, operation, readout, plain_forward):
    entries, d = int(bag.offsets[-1]), a.shape[1]
    y = np.empty((entries, 2 * d if readout == "both" else d), a.dtype)
    v_a, v_b = np.empty((entries, d), a.dtype), np.empty((entries, d), a.dtype)
    x, z, scratch = buffers(2, bag, d), buffers(2, bag, d), buffers(1, bag, d)[0]
    wide = buffers(1, bag, d, np.float64)[0]
    plain = {}
    with np.errstate(all="ignore"):
        for text in texts_of(bag):
            xa, xb = text.rows_of(a, x[0]), text.rows_of(b, x[1])
            va, vb = v_a[text.rows], v_b[text.rows]
            if norm_of_others(xa, text.weights, va, wide) and norm_of_others(xb, text.weights, vb, wide):
                combine(xa, va, xb, vb, y[text.rows], operation, readout, z[:, : len(xa)], scratch[: len(xa)])
            else:
                y[text.rows], plain[text.number] = plain_forward(xa.copy(), xb.copy(), text.alone(), operation, readout, "dimension")
    return y, Cache(a, b, v_a, v_b, y, bag, operation, readout, plain)


def norm_of_others(x, weights, v, wide):
    """Fill v: (n, d). Returns whether it holds the promised digits."""
    squares = wide[: len(x)]
    np.copyto(squares, x)
    squares *= squares
    total = weights @ squares
    np.subtract(total, squares, out=squares)
    np.copyto(v, squares, casting="same_kind")
    smallest = np.minimum.reduce(v, axis=0)
    np.sqrt(v, out=v)
    return bool(((smallest > (1 + len(x)) * ROUNDING * total) & (total > LEAST) & (total < LARGEST)).all())


def combine(xa, va, xb, vb, y, operation, readout, z, scratch):
    """Fill y from the waves xa + i·va and xb + i·vb (E5 or E6, then E7)."""
    d = xa.shape[1]
    re, im = {"both": (y[:, :d], y[:, d:]), "real": (y, None), "imaginary": (None, y), "magnitude": z}[readout]
    if operation == "interference":
        if re is not None:
            np.add(xa, xb, out=re)
        if im is not None:
            np.add(va, vb, out=im)
    else:
        if re is not None:
            np.multiply(xa, xb, out=re)
            re -= np.multiply(va, vb, out=scratch)
        if im is not None:
            np.multiply(xa, vb, out=im)
            im += np.multiply(va, xb, out=scratch)
    if readout == "magnitude":
        re *= re
        im *= im
        np.sqrt(np.add(re, im, out=y), out=y)


def backward(dy, cache, plain_forward, plain_backward):
    a, b, v_a, v_b, y, bag, operation, readout, plain = cache
    check_floats("dy", dy, y.shape, like=y)
    d = a.shape[1]
    merged = bag.places is not None and bag.counts is not None  # then no place occurs twice in a text
    da, db = (np.zeros_like(a), np.zeros_like(b)) if merged else (np.empty_like(v_a), np.empty_like(v_b))
    x, dx, dz, dwave, scratch = (buffers(2, bag, d) for _ in range(5))
    wide = buffers(2, bag, d, np.float64)
    with np.errstate(all="ignore"):
        for text in texts_of(bag):
            n = len(text.weights)
            waves = [(text.rows_of(a, x[0]), v_a[text.rows]), (text.rows_of(b, x[1]), v_b[text.rows])]
            dtext, ok = dx[:, :n], text.number not in plain
            if ok:
                slopes = slopes_of_readout(dy[text.rows], y[text.rows], waves, readout, dz[:, :n], scratch[0, :n])
                for own, other, out in zip(waves, reversed(waves), dtext):
                    dw = slopes if operation == "interference" else times_conjugate(slopes, other, dwave[:, :n], scratch[0, :n])
                    ok = ok and slopes_of_wave(dw, own, text.weights, out, wide[:, :n], scratch[:, :n])
            if not ok:
                known = plain.get(text.number) or plain_forward(*(w.copy() for w, _ in waves), text.alone(), operation, readout, "dimension")[1]
                dtext = plain_backward(dy[text.rows], known)
            for total, part in zip((da, db), dtext):
                if merged:
                    total[text.places] += part
                else:
                    total[text.rows] = part
    return (da, db) if merged else (sum_entries(da, bag, len(a)), sum_entries(db, bag, len(b)))


def slopes_of_readout(dy, y, waves, readout, dz, scratch):
    """(dre, dim) of the combined wave, None for a part that was not read out (E7). The magnitude is that of an interference."""
    d = waves[0][0].shape[1]
    if readout != "magnitude":
        return {"both": (dy[:, :d], dy[:, d:]), "real": (dy, None), "imaginary": (None, dy)}[readout]
    over = np.divide(dy, y, out=scratch)
    for out, first, second in zip(dz, *waves):
        np.add(first, second, out=out)
        out *= over
    return dz


def times_conjugate(dz, wave, out, scratch):
    """dz·conj(wave) as (dre, dim), in `out` (E6)."""
    (dre, dim), (w, v), (re, im) = dz, wave, out
    if dre is None:
        return np.multiply(dim, v, out=re), np.multiply(dim, w, out=im)
    np.multiply(dre, w, out=re)
    np.negative(np.multiply(dre, v, out=im), out=im)
    if dim is not None:
        re += np.multiply(dim, v, out=scratch)
        im += np.multiply(dim, w, out=scratch)
    return re, im


def slopes_of_wave(dwave, wave, weights, out, wide, scratch):
    """Fill out: (n, d) with dx (E4). Returns whether it holds the promised digits."""
    (dre, dim), (w, v), (h, size), (others, sums) = dwave, wave, scratch, wide
    if dim is None:
        np.copyto(out, dre)
        return True
    np.divide(dim, v, out=h)
    np.copyto(others, h)
    total = np.add.reduce(others, axis=0)
    np.subtract(np.multiply(weights[:, None], total, out=sums), others, out=others)
    np.copyto(out, others, casting="same_kind")
    np.abs(h, out=h)
    h *= (1 + len(h)) * ROUNDING
    held = (np.abs(out, out=size) >= h).all() and np.abs(total).max() * weights.max() < LARGEST
    out *= w
    if dre is not None:
        out += dre
    return bool(held)
