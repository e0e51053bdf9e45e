"""The body of wave_pair.py for float32 on the CPU: a few texts at a time, so that all arrays stay in cache.

Per text of entries x_p (d) with counts c_p, its sums in float64:

    v_p² = Σ_l c_l·x_l² − x_p²                 dx_p = dre_p + x_p·(c_p·Σ_l h_l − h_p),   h = dim/v over all tokens of an entry

Both differences may cancel, which E4 avoids by keeping the largest term apart. Float64 has 29 bits more than float32, so that
this is needed only where one entry outweighs the rest by about 1e4 (v) or 1e8 (h): such texts are noticed by looking at
the differences themselves, and go through the plain body, as do texts whose squares could leave the range of float32.

Texts of about the same number of entries as one block (g, n, d), so that a NumPy call has enough to do and stays in cache.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.bag import Bag, sum_entries
from engine.arrays.checks import check_floats
from engine.arrays.ragged import CACHE_BLOCK_ENTRIES, lengths
from layers.costs import Flops

PADDING = 1.25  # a text may be shorter than the longest of its group by this factor


class Text(NamedTuple):
    """One text of a Bag. rows: the slice of its n entries; places: where they are in x; weights: (n,) float64 counts."""

    number: int
    rows: slice
    places: np.ndarray | slice
    weights: np.ndarray

    def alone(self, block):
        """Its n rows of its block (longest n, …)."""
        return block[: len(self.weights)]

    def bag(self):
        """The Bag of this text over its own entries."""
        return Bag(None, self.weights.astype(np.int64), np.array([0, len(self.weights)]))


class Group(NamedTuple):
    """Texts that are computed together. Shorter ones are filled up with rows of weight 0.

    entries, places: (g, n) positions in arrays of entries and in x; weights: (g, n) float64; filled: (g, n) where a text has an
    entry, None where all have.
    """

    texts: list
    entries: np.ndarray
    places: np.ndarray
    weights: np.ndarray
    filled: np.ndarray | None

    def rows_of_places(self, x):
        """(U, d) → (g, n, d): the rows of x that the entries refer to, 0 where there is none."""
        return self.with_padding(np.take(x, self.places, axis=0, mode="clip"), 0)

    def rows_of_entries(self, y, padding=0):
        """(P, …) → (g, n, …), `padding` where there is no entry. A single text's is a view."""
        if len(self.texts) == 1:
            return y[self.texts[0].rows][None]
        return self.with_padding(np.take(y, self.entries, axis=0, mode="clip"), padding)

    def with_padding(self, block, value):
        if self.filled is not None:
            block[~self.filled] = value
        return block

    def put(self, y, block):
        """Write a block (g, n, …) into the entries of y (P, …)."""
        if len(self.texts) == 1:
            y[self.texts[0].rows] = block[0]
        elif self.filled is None:
            y[self.entries] = block
        else:
            y[self.entries[self.filled]] = block[self.filled]


def groups_of(bag, columns):
    """The Groups of all texts that have entries, shortest first; `columns`: of the blocks."""
    bounds, weights = bag.offsets.tolist(), bag.weights().astype(np.float64)
    count = lengths(bag.offsets)
    chosen = []
    for number in np.argsort(count, kind="stable").tolist():
        n = bounds[number + 1] - bounds[number]
        if n == 0:
            continue
        if chosen and ((len(chosen) + 1) * n * columns > CACHE_BLOCK_ENTRIES or n > PADDING * len(chosen[0].weights)):
            yield group_of(chosen, bag)
            chosen = []
        rows = slice(bounds[number], bounds[number + 1])
        chosen.append(Text(number, rows, rows if bag.places is None else bag.places[rows], weights[rows]))
    if chosen:
        yield group_of(chosen, bag)


def group_of(texts, bag):
    """The Group of some texts, of which the last is the longest."""
    n = len(texts[-1].weights)
    first, own = (
        np.array([text.rows.start for text in texts])[:, None],
        np.array([len(text.weights) for text in texts])[:, None],
    )
    position = np.arange(n)
    entries = first + np.minimum(position, own - 1)
    filled = None if (own == n).all() else position < own
    weights = np.concatenate([text.weights for text in texts])
    if filled is not None:
        block = np.zeros(entries.shape)
        block[filled] = weights
        weights = block
    return Group(
        texts, entries, entries if bag.places is None else bag.places[entries], weights.reshape(entries.shape), filled
    )


FAST_READOUTS = {
    "interference": ("real", "imaginary", "magnitude", "both"),
    "modulation": ("real", "imaginary", "both"),
}
BESIDE_NORMS = {  # operations per entry, beside 6 for each norm: of combined(), and of backward with its slopes, 10 each or 9 without dre
    "interference": {"real": (1, 0), "imaginary": (1, 18), "magnitude": (6, 25), "both": (2, 20)},
    "modulation": {"real": (3, 26), "imaginary": (3, 24), "both": (6, 32)},
}
ROUNDING = 1e-9  # of a sum of one term in float64, relative to a result that may be off by 1e-7
LEAST, LARGEST = (
    1e-20,
    1e36,
)  # sums of squares (or of h) between which single ones, and sums of two, are normal numbers of float32
FEW_TEXTS = 64  # whose gradients may be added in float32: a sum of 64 equal numbers is off by 1e-6 at most


class Cache(NamedTuple):
    """v_a, v_b: (P, d) norms of the others. plain: caches of the texts that went through the plain body, by their numbers."""

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
    return (
        isinstance(a, np.ndarray)
        and a.dtype == np.float32
        and scope == "dimension"
        and readout in FAST_READOUTS[operation]
    )


def fast_forward(a, b, bag, operation, readout, plain_body):
    """wave_pair_forward. plain_body: the functions of the plain body, forward and backward."""
    entries, d = int(bag.offsets[-1]), a.shape[1]
    y = np.empty((entries, 2 * d if readout == "both" else d), a.dtype)
    v_a, v_b, plain = np.empty((entries, d), a.dtype), np.empty((entries, d), a.dtype), {}
    with np.errstate(all="ignore"):
        for group in groups_of(bag, d):
            xa, xb = group.rows_of_places(a), group.rows_of_places(b)
            (va, safe_a), (vb, safe_b) = norm_of_others(xa, group.weights), norm_of_others(xb, group.weights)
            for whole, block in ((v_a, va), (v_b, vb), (y, combined(xa, va, xb, vb, operation, readout))):
                group.put(whole, block)
            for i in np.flatnonzero(~(safe_a & safe_b)):
                text = group.texts[i]
                y[text.rows], plain[text.number] = plain_body[0](
                    text.alone(xa[i]), text.alone(xb[i]), text.bag(), operation, readout, "dimension"
                )
    return y, Cache(a, b, v_a, v_b, y, bag, operation, readout, plain)


def norm_of_others(x, weights):
    """(v (g, n, d), (g,) whether a text's holds the promised digits)."""
    squares = x.astype(np.float64)
    squares *= squares
    total = weights[:, None, :] @ squares
    np.subtract(total, squares, out=squares)
    v = squares.astype(x.dtype)
    smallest = np.minimum.reduce(v, axis=1, keepdims=True)
    safe = (smallest > (1 + x.shape[1]) * ROUNDING * total) & (total > LEAST) & (total < LARGEST)
    return np.sqrt(v, out=v), safe.all(axis=(1, 2))


def combined(xa, va, xb, vb, operation, readout):
    """What is read of two waves x + i·v: E5 or E6, then E7."""
    if operation == "interference":
        re, im = (lambda: xa + xb), (lambda: va + vb)
    else:
        re, im = (lambda: minus(xa * xb, va * vb)), (lambda: plus(xa * vb, va * xb))
    if readout == "magnitude":
        return root_of_squares(re(), im())
    return {"real": re, "imaginary": im, "both": lambda: np.concatenate([re(), im()], axis=-1)}[readout]()


def plus(x, y):
    """x + y, in x."""
    return np.add(x, y, out=x)


def minus(x, y):
    """x − y, in x."""
    return np.subtract(x, y, out=x)


def root_of_squares(x, y):
    """sqrt(x² + y²), in x."""
    x *= x
    y *= y
    return np.sqrt(plus(x, y), out=x)


def fast_backward(dy, cache, plain_body):
    """wave_pair_backward. plain_body: as in fast_forward."""
    a, b, v_a, v_b, y, bag, operation, readout, plain = cache
    check_floats("dy", dy, y.shape, like=y)
    merged = bag.places is not None and bag.counts is not None  # then no place occurs twice in a text
    total = a.dtype if len(bag.offsets) - 1 <= FEW_TEXTS else np.float64
    da, db = (
        (np.zeros(a.shape, total), np.zeros(b.shape, total)) if merged else (np.empty_like(v_a), np.empty_like(v_b))
    )
    with np.errstate(all="ignore"):
        for group in groups_of(bag, a.shape[1]):
            waves = [(group.rows_of_places(x), group.rows_of_entries(v, padding=1)) for x, v in ((a, v_a), (b, v_b))]
            read = group.rows_of_entries(y, padding=1) if readout == "magnitude" else None
            dz = slopes_of_readout(group.rows_of_entries(dy), read, waves, readout)
            slopes = (
                [dz, dz] if operation == "interference" else [times_conjugate(dz, wave) for wave in reversed(waves)]
            )
            (dxa, safe_a), (dxb, safe_b) = (
                slopes_of_rows(dwave, wave, group.weights) for dwave, wave in zip(slopes, waves)
            )
            for i, text in enumerate(group.texts):
                parts = text.alone(dxa[i]), text.alone(dxb[i])
                if text.number in plain or not (safe_a[i] and safe_b[i]):
                    rows = (text.alone(x[i]) for x, _ in waves)
                    known = (
                        plain.get(text.number) or plain_body[0](*rows, text.bag(), operation, readout, "dimension")[1]
                    )
                    parts = plain_body[1](dy[text.rows], known)
                for whole, part in zip((da, db), parts):
                    if merged:
                        whole[text.places] += part
                    else:
                        whole[text.rows] = part
    if merged:
        return da.astype(a.dtype, copy=False), db.astype(b.dtype, copy=False)
    return sum_entries(da, bag, len(a)), sum_entries(db, bag, len(b))


def slopes_of_readout(dy, y, waves, readout):
    """(dre, dim) of the combined wave, None for a part that was not read out (E7). The magnitude is that of an interference."""
    d = waves[0][0].shape[-1]
    if readout != "magnitude":
        return {"both": (dy[..., :d], dy[..., d:]), "real": (dy, None), "imaginary": (None, dy)}[readout]
    over = dy / y
    return [
        np.multiply(sum_of_both, over, out=sum_of_both)
        for sum_of_both in (first + second for first, second in zip(*waves))
    ]


def times_conjugate(dz, wave):
    """dz·conj(wave) as (dre, dim) (E6)."""
    (dre, dim), (x, v) = dz, wave
    if dre is None:
        return dim * v, dim * x
    if dim is None:
        return dre * x, -(dre * v)
    return plus(dre * x, dim * v), minus(dim * x, dre * v)


def slopes_of_rows(dwave, wave, weights):
    """(dx (g, n, d), (g,) whether a text's holds the promised digits) (E4)."""
    (dre, dim), (x, v) = dwave, wave
    if dim is None:
        return dre, np.ones(len(x), bool)
    h = dim / v
    of_one = h.astype(np.float64)
    total = np.add.reduce(of_one, axis=1, keepdims=True)
    dx = minus(weights[..., None] * total, of_one).astype(x.dtype)
    limit = np.abs(h, out=h)
    limit *= (1 + x.shape[1]) * ROUNDING
    size = np.abs(total)
    in_range = (size > LEAST) & (size * weights.max(axis=1)[:, None, None] < LARGEST)
    held = (np.abs(dx) >= limit).all(axis=1, keepdims=True) & in_range
    if not held.all():  # where one token alone has a gradient, as in [CLS] pooling, the difference is exact
        single = (np.count_nonzero(dim, axis=1, keepdims=True) == 1) & (weights <= 1).all(axis=1)[:, None, None]
        held |= single & in_range
    dx *= x
    return dx if dre is None else plus(dx, dre), held.all(axis=(1, 2))


def fast_flops(entries, texts, dimension, operation, readout):
    """Flops of P entries of B texts, of which none needs the plain body and none is filled up. Summing entries to rows is not in it.

    Per text and dimension 4 for each wave and way, to see whether digits were lost.
    """
    forward, backward = BESIDE_NORMS[operation][readout]
    tests = 8 * texts * dimension
    return Flops(
        (12 + forward) * entries * dimension + tests, backward * entries * dimension + (tests if backward else 0)
    )
