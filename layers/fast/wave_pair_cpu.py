"""The wave pair in float32 on the CPU: a few texts at a time, so that all arrays stay in cache.

Per text of entries x_p (d) with counts c_p, its sums in float64:

    v_p² = Σ_l c_l·x_l² − x_p²
    dx_p = dre_p + x_p·(c_p·Σ_l h_l − h_p),   h = dim/v over all tokens of an entry

Both differences may cancel, which E4 avoids by keeping the largest term apart. Float64 has 29 bits more than float32,
so that this is needed only where one entry outweighs the rest by about 1e4 (v) or 1e8 (h): such texts are recognised by
the differences themselves, and go through the equations, as do texts whose squares could leave the range of float32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.bag import Bag, sum_entries
from engine.arrays.checks import check_floats
from engine.types import Bools, Floats, Floats2d, Floats3d, Offsets
from layers.equations import EQUATIONS, check_wave_pair, wave_pair
from layers.fast.text_groups import Sentences, Text, groups_of

READOUTS = {  # the implemented ones, by operation
    "interference": ("real", "imaginary", "magnitude", "both"),
    "modulation": ("real", "imaginary", "both"),
}
ROUNDING = 1e-9  # of a sum of one term in float64, relative to a result that may be off by 1e-7
LEAST, LARGEST = 1e-20, 1e36  # sums of squares (or of h) between which one, and a sum of two, is a normal float32
FEW_TEXTS = 64  # whose gradients may be added in float32: a sum of 64 equal numbers is off by 1e-6 at most
equation_forward, equation_backward = wave_pair(EQUATIONS)


class Cache(NamedTuple):
    """v_a, v_b: (P, d), the norms of the other tokens.

    exceptions: by number of the text, the caches of those that the equations computed.
    """

    a: Floats2d
    b: Floats2d
    v_a: Floats2d
    v_b: Floats2d
    y: Floats2d
    bag: Bag
    second: Bag | None
    operation: str
    readout: str
    exceptions: dict[int, Any]


def supports(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    operation: str,
    readout: str,
    scope: str = "dimension",
    second: Bag | None = None,
) -> bool:
    """Whether this is float32 on the host, with magnitudes per dimension and a readout without atan2."""
    known = scope == "dimension" and readout in READOUTS.get(operation, ())
    return known and isinstance(a, np.ndarray) and a.dtype == np.float32 and getattr(b, "dtype", None) == a.dtype


def forward(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    operation: str,
    readout: str,
    scope: str = "dimension",
    second: Bag | None = None,
) -> tuple[Floats2d, Cache]:
    check_wave_pair(a, b, operation, readout, scope)
    entries, d = int(bag.offsets[-1]), a.shape[1]
    y = np.empty((entries, 2 * d if readout == "both" else d), a.dtype)
    v_a, v_b = np.empty((entries, d), a.dtype), np.empty((entries, d), a.dtype)
    exceptions = {}
    with np.errstate(all="ignore"):
        for group in groups_of(*cuts_of(bag, d, second)):
            xa, xb = group.rows_of_index(a), group.rows_of_index(b)
            va, safe_a = norm_of_others(xa, group.weights, group.sentences)
            vb, safe_b = norm_of_others(xb, group.weights)
            for whole, block in ((v_a, va), (v_b, vb), (y, read_of_pair(xa, va, xb, vb, operation, readout))):
                group.put(whole, block)
            for i in np.flatnonzero(~(safe_a & safe_b)):
                text = group.texts[i]
                y[text.rows], exceptions[text.number] = equation_of_text(
                    text, text.alone(xa[i]), text.alone(xb[i]), operation, readout
                )
    return y, Cache(a, b, v_a, v_b, y, bag, second, operation, readout, exceptions)


def cuts_of(bag: Bag, columns: int, second: Bag | None) -> tuple[Bag, int, Offsets | None]:
    """The arguments of groups_of: texts are grouped by their coarser cut, that of the second branch."""
    return (bag, columns, None) if second is None else (second, columns, bag.offsets)


def equation_of_text(text: Text, a: Floats2d, b: Floats2d, operation: str, readout: str) -> tuple[Floats2d, Any]:
    """The wave pair of the rows of one text by the equations."""
    bag, second = text.bags()
    return equation_forward(a, b, bag, operation, readout, "dimension", second)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    a, b, v_a, v_b, y, bag, second, operation, readout, exceptions = cache
    check_floats("dy", dy, y.shape, like=y)
    # Merged entries: then no row occurs twice in a segment of the bag.
    merged = bag.row_index is not None and bag.counts is not None and second is None
    total = a.dtype if len(bag.offsets) - 1 <= FEW_TEXTS else np.dtype(np.float64)
    like = [np.zeros(x.shape, total) for x in (a, b)] if merged else [np.empty_like(v) for v in (v_a, v_b)]
    da, db = like
    with np.errstate(all="ignore"):
        for group in groups_of(*cuts_of(bag, a.shape[1], second)):
            waves: list[BlockWave] = [
                (group.rows_of_index(x), group.rows_of_entries(v, padding=1)) for x, v in ((a, v_a), (b, v_b))
            ]
            read = group.rows_of_entries(y, padding=1) if readout == "magnitude" else None
            dz = SLOPES_OF_READOUT[readout](group.rows_of_entries(dy), read, waves)
            slopes = SLOPES_OF_OPERATION[operation](dz, waves)
            dxa, safe_a = slopes_of_rows(slopes[0], waves[0], group.weights, group.sentences)
            dxb, safe_b = slopes_of_rows(slopes[1], waves[1], group.weights)
            for i, text in enumerate(group.texts):
                dtext = text.alone(dxa[i]), text.alone(dxb[i])
                if text.number in exceptions or not (safe_a[i] and safe_b[i]):
                    known = exceptions.get(text.number)
                    if known is None:
                        (xa, _), (xb, _) = waves
                        _, known = equation_of_text(text, text.alone(xa[i]), text.alone(xb[i]), operation, readout)
                    dtext = equation_backward(dy[text.rows], known)
                for whole, part in zip((da, db), dtext):
                    if merged:
                        whole[text.row_index] += part
                    else:
                        whole[text.rows] = part
    if merged:
        return da.astype(a.dtype, copy=False), db.astype(b.dtype, copy=False)
    return sum_entries(da, bag, len(a)), sum_entries(db, bag, len(b))


def norm_of_others(x: Floats3d, weights: Floats2d, sentences: Sentences | None = None) -> tuple[Floats3d, Bools]:
    """(v (g, n, d), whether that of a text has all promised digits (g,)). sentences: of which the sums are taken."""
    squares = x.astype(np.float64)
    squares *= squares
    total = weights[:, None, :] @ squares if sentences is None else sentences.sums(squares, weights)
    np.subtract(total, squares, out=squares)
    v = squares.astype(x.dtype)
    smallest = np.minimum.reduce(v, axis=1, keepdims=True) if sentences is None else v
    safe = (smallest > (1 + x.shape[1]) * ROUNDING * total) & (total > LEAST) & (total < LARGEST)
    if sentences is not None:
        safe |= sentences.alone  # v = 0: a sum of one square less that square
    return np.sqrt(v, out=v), safe.all(axis=(1, 2))


def read_of_pair(xa: Floats3d, va: Floats3d, xb: Floats3d, vb: Floats3d, operation: str, readout: str) -> Floats3d:
    """The readout of two combined waves x + i·v: the operation, then E7. Only the parts that are read are computed."""
    re, im = PARTS[operation]
    if readout == "real":
        return re(xa, va, xb, vb)
    if readout == "imaginary":
        return im(xa, va, xb, vb)
    if readout == "magnitude":
        return root_of_squares(re(xa, va, xb, vb), im(xa, va, xb, vb))
    if readout == "both":
        return np.concatenate([re(xa, va, xb, vb), im(xa, va, xb, vb)], axis=-1)
    raise AssertionError(readout)  # supports() lets no other one in


def plus(x: Floats, y: Floats) -> Floats:
    """x + y, in x."""
    return np.add(x, y, out=x)


def minus(x: Floats, y: Floats) -> Floats:
    """x − y, in x."""
    return np.subtract(x, y, out=x)


def root_of_squares(x: Floats, y: Floats) -> Floats:
    """sqrt(x² + y²), in x."""
    x *= x
    y *= y
    return np.sqrt(plus(x, y), out=x)


Slope = tuple[Any, Any]  # real and imaginary part of a slope (g, n, d), None for a part that was not read
BlockWave = tuple[Floats3d, Floats3d]  # a wave x + i·v

PARTS: dict[str, tuple[Callable[..., Floats3d], Callable[..., Floats3d]]] = {  # E5 and E6: (re, im) of two waves
    "interference": (lambda xa, va, xb, vb: xa + xb, lambda xa, va, xb, vb: va + vb),
    "modulation": (
        lambda xa, va, xb, vb: minus(xa * xb, va * vb),
        lambda xa, va, xb, vb: plus(xa * vb, va * xb),
    ),
}


def slopes_of_magnitude(dy: Floats3d, rho: Floats3d, waves: list[BlockWave]) -> Slope:
    """(dre, dim) of an interference of which the magnitude was read (E7)."""
    over, ((xa, va), (xb, vb)) = dy / rho, waves
    re, im = xa + xb, va + vb
    return np.multiply(re, over, out=re), np.multiply(im, over, out=im)


SLOPES_OF_READOUT: dict[str, Callable[..., Slope]] = {  # E7: (dre, dim) of the combined wave
    "real": lambda dy, y, waves: (dy, None),
    "imaginary": lambda dy, y, waves: (None, dy),
    "both": lambda dy, y, waves: (dy[..., : dy.shape[-1] // 2], dy[..., dy.shape[-1] // 2 :]),
    "magnitude": slopes_of_magnitude,
}


def times_conjugate(dz: Slope, wave: BlockWave) -> Slope:
    """dz·conj(wave) as (dre, dim) (E6)."""
    (dre, dim), (x, v) = dz, wave
    if dre is None:
        return dim * v, dim * x
    if dim is None:
        return dre * x, -(dre * v)
    return plus(dre * x, dim * v), minus(dim * x, dre * v)


SLOPES_OF_OPERATION: dict[str, Callable[..., tuple[Slope, Slope]]] = {  # E5 and E6: the slopes of both waves
    "interference": lambda dz, waves: (dz, dz),
    "modulation": lambda dz, waves: (times_conjugate(dz, waves[1]), times_conjugate(dz, waves[0])),
}


def slopes_of_rows(
    dwave: Slope, wave: BlockWave, weights: Floats2d, sentences: Sentences | None = None
) -> tuple[Floats3d, Bools]:
    """(dx (g, n, d), whether that of a text has all promised digits (g,)) (E4). sentences: as in norm_of_others."""
    (dre, dim), (x, v) = dwave, wave
    if dim is None:
        return dre, np.ones(len(x), bool)
    h = dim / v if sentences is None else np.where(sentences.alone, 0, dim / v).astype(v.dtype, copy=False)
    of_one = h.astype(np.float64)
    total = np.add.reduce(of_one, axis=1, keepdims=True) if sentences is None else sentences.sums(of_one)
    dx = minus(weights[..., None] * total, of_one).astype(x.dtype)
    limit = np.abs(h, out=h)
    limit *= (1 + x.shape[1]) * ROUNDING
    size = np.abs(total)
    heaviest = weights.max(axis=1)[:, None, None]
    in_range = (size > LEAST) & (size * heaviest < LARGEST)
    held = np.abs(dx) >= limit
    if sentences is None:
        held = held.all(axis=1, keepdims=True) & in_range
    else:
        held = (held & in_range) | sentences.alone
    # Where one token alone has a gradient, as in [CLS] pooling, the difference is exact.
    if sentences is None and not held.all():
        single = (np.count_nonzero(dim, axis=1, keepdims=True) == 1) & (heaviest <= 1)
        held |= single & in_range
    dx *= x
    return dx if dre is None else plus(dx, dre), held.all(axis=(1, 2))
