"""Measure the digits of Token2Wave that float32 keeps where one token dominates: `python train.py precision`.

Three ways to compute it are held against a reference in float64:

    polar          E1, E2, E3 with their backwards: G·e^{iα}, and 0 by convention where s = 0 or G = 0
    difference     im = sqrt(G² − w²), dw = dre + w·(Σ_j h_j − h), h = dim/im: every step in float32, no special case
    closed_form    E4: the token itself never enters the sums over the others

Derivation: layers/wave/token2wave.md, E4.7.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from engine.arrays.backend import random_generator
from engine.arrays.checks import check_choice
from engine.types import Floats, Floats2d, Offsets
from layers import wave

Pair: TypeAlias = tuple[Floats2d, Floats2d]  # (im, dw)

RATIOS = tuple(float(f"1e{decade}") for decade in range(19))  # dominating token / others, but for a factor of up to 2
TEXTS, COLUMNS = 8, 8
ROUNDING = float(np.finfo(np.float32).eps) / 2  # largest relative error of one float32 rounding, 6e-8


class Row(NamedTuple):
    """Errors at one ratio, by each way of WAYS: of im, relative; of dw, relative to the sizes of its terms.

    Each is the worst over all entries; infinite or NaN where an entry is.
    """

    ratio: float
    im: dict[str, float]
    dw: dict[str, float]


def precision_rows(
    scope: str = "dimension", tokens: int = 32, seed: int = 0, ratios: Sequence[float] = RATIOS
) -> list[Row]:
    """Measure a Row for every ratio.

    tokens: of each text, at least 2. Raises ValueError for a wrong scope or number of tokens.
    """
    check_choice("scope", scope, wave.SCOPES)
    if tokens < 2:
        raise ValueError(f"tokens: must be at least 2, so that a token has others, got {tokens}")
    rows = []
    for number, ratio in enumerate(ratios):
        w, offsets, dz = dominated_texts(scope, tokens, ratio, random_generator(seed, number))
        reference = others_only(w, offsets, scope, dz)
        errors = {name: largest_errors(way(w, offsets, scope, dz), *reference) for name, way in WAYS.items()}
        rows.append(Row(ratio, *({name: error[part] for name, error in errors.items()} for part in (0, 1))))
    return rows


def dominated_texts(
    scope: str, tokens: int, ratio: float, rng: np.random.Generator
) -> tuple[Floats2d, Offsets, wave.Wave]:
    """Draw (w, offsets, dz) in float32. In every text and column one entry dominates at random.

    In scope "text" it is one in every text. It lies in ±[1, 2), the others between 1/2 and 1 of it divided by `ratio`;
    dz is standard normal.
    """
    groups = rows_of_groups(np.empty((TEXTS * tokens, COLUMNS)), scope, TEXTS).shape
    shape = (groups[0], 1, groups[2])
    largest = rng.uniform(1, 2, shape)
    w = largest * rng.uniform(0.5, 1, groups) / ratio
    np.put_along_axis(w, rng.integers(groups[1], size=shape), largest, axis=1)
    w *= rng.choice([-1.0, 1.0], groups)
    dz = wave.Wave(*rng.standard_normal((2, TEXTS * tokens, COLUMNS), dtype=np.float32))
    return w.reshape(TEXTS * tokens, COLUMNS).astype(np.float32), np.arange(TEXTS + 1) * tokens, dz


def rows_of_groups(x: Floats2d, scope: str, texts: int) -> Floats:
    """Return the (T, d) rows of texts of equal length as (texts, n, d) or, in scope "text", (texts, n·d, 1).

    Sums over what shares a magnitude then run along axis 1.
    """
    return x.reshape(texts, -1, x.shape[1] if scope == "dimension" else 1)


# --- the reference ----------------------------------------------------------------------------------------------


def others_only(w: Floats2d, offsets: Offsets, scope: str, dz: wave.Wave) -> tuple[Floats2d, Floats2d, Floats2d]:
    """Compute (im, dw, terms) of texts of equal length in float64, by sums that never contain what they must leave out.

    terms: |dre_l| + |w_l|·Σ_{j≠l} |h_j|, the sizes of what dw adds up; errors of dw are held against it.
    """
    x, dre, dim = (rows_of_groups(a.astype(np.float64), scope, len(offsets) - 1) for a in (w, dz.re, dz.im))
    im = np.sqrt(sum_of_others(x * x))
    h = dim / im
    dw = dre + x * sum_of_others(h)
    terms = abs(dre) + abs(x) * sum_of_others(abs(h))
    return im.reshape(w.shape), dw.reshape(w.shape), terms.reshape(w.shape)


def sum_of_others(x: Floats) -> Floats:
    """Return Σ_{l≠j} x_l along axis 1: the sum of all before j plus the sum of all behind it. Nothing is subtracted."""
    nothing = np.zeros_like(x[:, :1])
    before = np.concatenate([nothing, x[:, :-1].cumsum(axis=1)], axis=1)
    behind = np.concatenate([x[:, :0:-1].cumsum(axis=1)[:, ::-1], nothing], axis=1)
    return before + behind


def largest_errors(actual: Pair, im: Floats2d, dw: Floats2d, terms: Floats2d) -> tuple[float, float]:
    """Return (error of im, error of dw); NaN and infinite entries pass through."""
    with np.errstate(invalid="ignore"):
        of_im = abs(actual[0].astype(np.float64) - im) / im
        of_dw = abs(actual[1].astype(np.float64) - dw) / terms
    return float(of_im.max()), float(of_dw.max())


# --- three ways of computing -------------------------------------------------------------------------------------


def polar(w: Floats2d, offsets: Offsets, scope: str, dz: wave.Wave) -> Pair:
    """Compute (im, dw) by E1, E2, E3 and their backwards."""
    G, magnitude = wave.global_magnitude_forward(w, offsets, scope)
    alpha, phase = wave.phase_forward(w, G, offsets)
    z, polar_form = wave.polar_to_wave_forward(G, alpha, offsets)
    dG, dalpha = wave.polar_to_wave_backward(dz, polar_form)
    dw, dG_of_phase = wave.phase_backward(dalpha, phase)
    return z.im, dw + wave.global_magnitude_backward(dG + dG_of_phase, magnitude)


def difference(w: Floats2d, offsets: Offsets, scope: str, dz: wave.Wave) -> Pair:
    """Compute (im, dw) by the sum over all less the token's own, as one writes it down first."""
    x, dre, dim = (rows_of_groups(a, scope, len(offsets) - 1) for a in (w, dz.re, dz.im))
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = x * x
        im = np.sqrt(squares.sum(axis=1, keepdims=True) - squares)
        h = dim / im
        dw = dre + x * (h.sum(axis=1, keepdims=True) - h)
    return im.reshape(w.shape), dw.reshape(w.shape)


def closed_form(w: Floats2d, offsets: Offsets, scope: str, dz: wave.Wave) -> Pair:
    """Compute (im, dw) by E4."""
    z, cache = wave.token2wave_forward(w, offsets, scope)
    return z.im, wave.token2wave_backward(dz, cache)


LABELS = {"polar": "polar path, E1–E3", "difference": "difference, sqrt(G² − w²)", "closed_form": "closed form, E4"}
WAYS: dict[str, Callable[[Floats2d, Offsets, str, wave.Wave], Pair]] = {
    "polar": polar,
    "difference": difference,
    "closed_form": closed_form,
}
