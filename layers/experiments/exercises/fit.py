"""Say which term of a gradient is missing or wrong: least squares on the terms that it must be the sum of.

A gradient is fitted to its terms in several random examples together. Coefficients must be 1: 0 is a missing term, −1 a
wrong sign, 2 a factor. Where no coefficients reproduce it, terms are replaced by versions of them with a known mistake,
and coefficients may differ from example to example as a named size does (a mean in place of a sum). The combination
with the fewest mistakes counts; a fit that leaves a residual tells nothing.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from engine.gradcheck.arrays import Vector, norm
from engine.types import Array

EXACT = 1e-9  # residual of a fit beside the gradient, above which it is none
ONE = 1e-6  # by how much a coefficient may differ from what it is taken for
ALL = "all terms"


class Term(NamedTuple):
    """A term of a gradient in every example, and the versions of it with a known mistake."""

    name: str
    values: list[Vector]
    mistaken: dict[str, list[Vector]]


class Finding(NamedTuple):
    """A mistake in a term, in ALL of them, or in the gradient as a whole (term "")."""

    term: str
    mistake: str


def diagnose(
    got: Sequence[Vector], terms: Sequence[Term], sizes: Sequence[Mapping[str, float]]
) -> list[Finding] | None:
    """Return the fewest mistakes that make the sum of the terms what was got; None where none are known.

    got: one gradient in every example. sizes: named numbers of each example.
    """
    best: list[Finding] | None = None
    for chosen in itertools.product(*(["", *term.mistaken] for term in terms)):
        columns = [term.mistaken[mistake] if mistake else term.values for term, mistake in zip(terms, chosen)]
        coefficients = fit_together(got, columns)
        if coefficients is None:
            coefficients = fit_each(got, columns)
        found = None if coefficients is None else explain(terms, chosen, coefficients, sizes)
        if found is not None and (best is None or len(found) < len(best)):
            best = found
        if best is not None and len(best) == 1:
            break
    return best


def fit_together(got: Sequence[Vector], columns: Sequence[Sequence[Vector]]) -> Array | None:
    """Return (examples, terms) coefficients that are the same in all examples; None where these leave a residual."""
    found = fit(np.concatenate(got), np.stack([np.concatenate(column) for column in columns], axis=1))
    return None if found is None else np.tile(found, (len(got), 1))


def fit_each(got: Sequence[Vector], columns: Sequence[Sequence[Vector]]) -> Array | None:
    """Return (examples, terms) coefficients of each example by itself; None where one of them leaves a residual."""
    rows = []
    for i, y in enumerate(got):
        row = fit(y, np.stack([column[i] for column in columns], axis=1))
        if row is None:
            return None
        rows.append(row)
    return np.stack(rows)


def fit(y: Vector, matrix: Array) -> Array | None:
    """Return c with matrix·c = y; None where there is none, or more than one."""
    c, _, rank, _ = np.linalg.lstsq(matrix, y, rcond=1e-10)
    return c if rank == matrix.shape[1] and norm(matrix @ c - y) <= EXACT * norm(y) else None


def explain(
    terms: Sequence[Term], chosen: Sequence[str], coefficients: Array, sizes: Sequence[Mapping[str, float]]
) -> list[Finding] | None:
    """Return the mistakes behind a fit, shared ones once; None where a coefficient has no explanation."""
    factors = [factor_of(column, sizes) for column in coefficients.T]
    if any(factor is None for factor in factors):
        return None
    found = [
        (term.name, [*filter(None, [mistake]), *(factor or [])])
        for term, mistake, factor in zip(terms, chosen, factors)
    ]
    shared = [mistake for mistake in found[0][1] if all(mistake in mistakes for _, mistakes in found)]
    shared = shared if len(terms) > 1 else []
    alone = [Finding(name, mistake) for name, mistakes in found for mistake in mistakes if mistake not in shared]
    return [*(Finding(ALL, mistake) for mistake in shared), *alone]


def factor_of(column: Vector, sizes: Sequence[Mapping[str, float]]) -> list[str] | None:
    """Say by what a term is multiplied: [] for 1; None where it varies in no known way. column: (examples,)."""
    if np.allclose(column, 1.0, rtol=0.0, atol=ONE):
        return []
    if np.allclose(column, 0.0, rtol=0.0, atol=ONE):
        return ["missing"]
    if np.allclose(column, -1.0, rtol=0.0, atol=ONE):
        return ["wrong sign"]
    for name, power in itertools.product(sizes[0], (-1, 1, -2, 2)):
        rest = column / np.array([float(size[name]) for size in sizes]) ** power
        if np.allclose(rest, 1.0, rtol=0.0, atol=ONE):
            return [by_size(name, power)]
        if np.allclose(rest, -1.0, rtol=0.0, atol=ONE):
            return [by_size(name, power), "wrong sign"]
    constant = np.allclose(column, column[0], rtol=ONE, atol=0.0)
    return [f"factor {column[0]:.4g} where 1 belongs"] if constant else None


def by_size(name: str, power: int) -> str:
    """Say that a term is multiplied by a power of a size, and what may lie behind it."""
    symbol = name.split(",")[0]
    symbol = f"({symbol})" if " " in symbol else symbol
    twice = " twice" if abs(power) == 2 else ""
    if power > 0:
        return f"multiplied by {name}{twice or f': its 1/{symbol} is forgotten'}"
    mean = ": a mean in place of a sum" if "the number of" in name and not twice else ""
    return f"divided by {name}{twice}{mean}"
