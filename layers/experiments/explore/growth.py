"""One token of a column grows until it dominates: the polar path E1 to E3 beside the closed form E4, digit by digit."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np

from engine.types import Array, Floats1d, Floats2d
from layers import wave

PLACES = {np.dtype(np.float32): 8, np.dtype(np.float64): 16}  # decimal digits that are shown
MINUS = "\N{MINUS SIGN}"
EXACT_DIGITS = 120  # in which the right value is computed


class Digits(NamedTuple):
    """A number in decimal: the leading digits that are right, the others, and the exponent."""

    right: str
    wrong: str
    exponent: str


class Row(NamedTuple):
    """A quantity in four ways. exact: as text; cells: polar and closed in float32, polar and closed in float64.

    A cell is None where that way has no such quantity.
    """

    name: str
    exact: str
    cells: Sequence[Digits | None]


class Growth(NamedTuple):
    """token: which grows; factor: 10^decades as text; rows."""

    token: str
    factor: str
    rows: Sequence[Row]


class Way(NamedTuple):
    """What one way of computing gives: im and dw of every token, and the term of E2 that grows."""

    im: Floats1d
    dw: Floats1d
    term: Floats1d | None


def growth_of(tokens: Sequence[str], w: Floats1d, dz: Array, chosen: int, decades: float) -> Growth:
    """The Growth of the chosen token. w: (tokens,) real, dz: (tokens,) complex, in one dimension of a wave."""
    grown = w.copy()
    grown[chosen] *= 10.0**decades
    other = next(i for i in range(len(w)) if i != chosen)
    ways = [way(grown, dz, dtype) for dtype in (np.float32, np.float64) for way in (polar, closed)]
    # Both types hold other numbers than decimal ones: each is measured against the right result of its own.
    exact = [exact_way(grown, dz, dtype) for dtype in (np.float32, np.float64)]
    rows = []
    for name, kind, i in (
        (f"term of E2, {tokens[chosen]}", "term", chosen),
        (f"im, {tokens[chosen]}", "im", chosen),
        (f"im, {tokens[other]}", "im", other),
        (f"dw, {tokens[chosen]}", "dw", chosen),
        (f"dw, {tokens[other]}", "dw", other),
    ):
        cells: list[Digits | None] = []
        for n, found in enumerate(ways):
            values, right = getattr(found, kind), exact[n // 2][kind][i]
            cells.append(None if values is None else digits(values[i], right))
        rows.append(Row(name, shown(exact[1][kind][i]), cells))
    return Growth(tokens[chosen], f"{10.0**decades:.3g}", rows)


def column(x: Floats1d, dtype: type) -> Floats2d:
    """(T,) → (T, 1)."""
    with np.errstate(over="ignore"):
        as_column: Floats2d = x.astype(dtype)[:, None]
    return as_column


def polar(w: Floats1d, dz: Array, dtype: type) -> Way:
    """By E1, E2, E3 and their backwards. term: what E2's backward gives its own w."""
    x, offsets = column(w, dtype), np.array([0, len(w)])
    with np.errstate(all="ignore"):
        G, magnitude = wave.global_magnitude_forward(x, offsets)
        alpha, phase = wave.phase_forward(x, G, offsets)
        z, polar_form = wave.polar_to_wave_forward(G, alpha, offsets)
        dG, dalpha = wave.polar_to_wave_backward(wave.Wave(column(dz.real, dtype), column(dz.imag, dtype)), polar_form)
        term, dG_of_phase = wave.phase_backward(dalpha, phase)
        dw = term + wave.global_magnitude_backward(dG + dG_of_phase, magnitude)
    return Way(z.im[:, 0], dw[:, 0], term[:, 0])


def closed(w: Floats1d, dz: Array, dtype: type) -> Way:
    """By E4."""
    x, offsets = column(w, dtype), np.array([0, len(w)])
    with np.errstate(all="ignore"):
        z, cache = wave.token2wave_forward(x, offsets)
        dw = wave.token2wave_backward(wave.Wave(column(dz.real, dtype), column(dz.imag, dtype)), cache)
    return Way(z.im[:, 0], dw[:, 0], None)


def exact_way(w: Floats1d, dz: Array, dtype: type) -> dict[str, list[Decimal]]:
    """The same in decimal arithmetic, of the numbers as they are in a type; as given, where it cannot hold them."""
    with np.errstate(over="ignore"):
        numbers: list[Array] = [a.astype(dtype).astype(np.float64) for a in (w, dz.real, dz.imag)]
    if not np.isfinite(numbers).all():
        numbers = [w, dz.real, dz.imag]
    with localcontext() as context:
        context.prec = EXACT_DIGITS
        x, dre, dim = ([Decimal(float(v)) for v in a] for a in numbers)
        others = [[j for j in range(len(x)) if j != i] for i in range(len(x))]
        v = [sum((x[j] * x[j] for j in some), Decimal(0)).sqrt() for some in others]
        h = [d / s if s else Decimal(0) for d, s in zip(dim, v)]
        dw = [dre[i] + x[i] * sum((h[j] for j in some), Decimal(0)) for i, some in enumerate(others)]
        G = sum((one * one for one in x), Decimal(0)).sqrt()
        # E2: −dα/(s·G), with dα = G·(dim·cos α − dre·sin α), cos α = w/G and s = sin α = v/G.
        terms = [(dre[i] * v[i] - dim[i] * x[i]) / v[i] if v[i] and G else Decimal(0) for i in range(len(x))]
    return {"im": v, "dw": dw, "term": terms}


def digits(value: np.floating, exact: Decimal) -> Digits:
    """A number, cut where it stops to be right."""
    if not np.isfinite(value):
        return Digits("", "∞" if np.isinf(value) else "not a number", "")
    places = PLACES[value.dtype] - 1
    text, reference = (f"{x:.{places}e}".replace("-", MINUS, x < 0) for x in (float(value), exact))
    mantissa, _, exponent = text.partition("e")
    right, _, right_exponent = reference.partition("e")
    if float(value) == 0.0 or int(exponent) != int(right_exponent):
        return Digits("", mantissa, with_power(int(exponent)))
    same = next((i for i, (a, b) in enumerate(zip(mantissa, right)) if a != b), len(mantissa))
    return Digits(mantissa[:same], mantissa[same:], with_power(int(exponent)))


def shown(exact: Decimal) -> str:
    """The right number in the digits of float64."""
    text = f"{exact:.{PLACES[np.dtype(np.float64)] - 1}e}".replace("-", MINUS, exact < 0)
    mantissa, _, exponent = text.partition("e")
    return mantissa + with_power(int(exponent))


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def with_power(exponent: int) -> str:
    """·10ⁿ, nothing for 0."""
    return f"·10{str(exponent).translate(SUPERSCRIPTS)}" if exponent else ""
