"""The floating-point types: the rounding of each, and the steps and tolerances that follow from it.

A function counts as the coarsest type among its inputs, its results, and what its results look like: results of type
float64 that were computed in float32 move by whole roundings of float32, and no smaller step would see them move.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .arrays import Vector


class Precision(NamedTuple):
    """A floating-point type as the checks see it.

    epsilon: twice its largest relative rounding. tolerances, steps: by method. shrink: factors of the first five-point
    step that are tried. kink: a kink's fourth difference exceeds the rounding of the values by this factor; jump: and a
    jump's is this large against the values themselves. agreement: by how much complex step and five-point may differ
    beyond the stencil's own error. forward_noise, backward_noise: shares of the result beyond which no error is put
    down to rounding. rounding: units of epsilon that a result is taken to be off; excuse: how many times an estimated
    uncertainty an error must exceed to be none. widest: decades by which a step may grow where rounding drowns the
    slope, as that of an input of 1e-15 beside a bias of 1.
    """

    name: str
    epsilon: float
    tolerances: Mapping[str, float]
    steps: Mapping[str, float]
    shrink: tuple[float, ...]
    kink: float
    jump: float
    agreement: float
    forward_noise: float
    backward_noise: float
    rounding: float
    excuse: float
    widest: int


DOUBLE = Precision(
    "float64",
    float(np.finfo(np.float64).eps),
    tolerances={"complex_step": 1e-12, "five_point": 1e-7, "richardson": 1e-8},
    steps={"complex_step": 1e-30, "five_point": 1e-4, "richardson": 0.1},
    shrink=(1.0, 1e-1, 1e-2, 1e-3, 1e-4),
    kink=1e3,
    jump=1e-6,
    agreement=1e-10,
    forward_noise=1e-6,
    backward_noise=1e-10,
    rounding=4.0,
    excuse=10.0,
    widest=20,
)
SINGLE = Precision(
    "float32",
    float(np.finfo(np.float32).eps),
    tolerances={"complex_step": 1e-5, "five_point": 1e-3, "richardson": 1e-3},
    steps={"complex_step": 1e-15, "five_point": 3e-2, "richardson": 0.2},
    shrink=(1.0, 0.3, 0.1, 0.03),
    kink=30.0,
    jump=1e-4,
    agreement=1e-4,
    forward_noise=1e-2,
    backward_noise=1e-3,
    rounding=4.0,
    excuse=10.0,
    widest=20,
)
HALF = Precision(
    "float16",
    float(np.finfo(np.float16).eps),
    tolerances={"complex_step": 2e-2, "five_point": 5e-2, "richardson": 5e-2},
    steps={"complex_step": 1e-15, "five_point": 0.2, "richardson": 0.4},
    shrink=(1.0, 0.5, 0.25),
    kink=50.0,
    jump=1e-1,
    agreement=1e-2,
    forward_noise=0.3,
    backward_noise=0.1,
    rounding=1.0,
    excuse=3.0,
    widest=0,
)
PRECISIONS = (DOUBLE, SINGLE, HALF)  # from fine to coarse
OF_DTYPE = {"f8": DOUBLE, "c16": DOUBLE, "f4": SINGLE, "c8": SINGLE, "f2": HALF}


def coarsest(precisions: Iterable[Precision]) -> Precision:
    """Return the one with the largest rounding; DOUBLE if there is none."""
    return max(precisions, key=lambda one: one.epsilon, default=DOUBLE)


def precision_of(arrays: Iterable[Any]) -> Precision:
    """Return the coarsest precision among float arrays."""
    return coarsest(OF_DTYPE[f"{a.dtype.kind}{a.dtype.itemsize}"] for a in arrays)


def representable(y: Vector, moved: Vector) -> Precision:
    """Return the coarsest type that holds all entries of `moved` that differ from those of y: results next to y.

    Entries that do not move say nothing: zeros and other round numbers are the same in every type.
    """
    entries = moved[(moved != y) & np.isfinite(moved)]
    with np.errstate(over="ignore"):
        fits = entries.size and np.array_equal(entries.astype(np.float32), entries)
        half = fits and np.array_equal(entries.astype(np.float16), entries)
    return HALF if half else SINGLE if fits else DOUBLE


NOISE_LIMITS = (3e-9, 3e-5)  # relative noise up to which steps and tolerances of DOUBLE, of SINGLE serve


def noise_precision(noise: float) -> Precision:
    """Return the finest type whose steps and tolerances fit results with this relative noise."""
    return PRECISIONS[sum(noise > limit for limit in NOISE_LIMITS)]


def dtype_name(precision: Precision, is_complex: bool) -> str:
    """Return the type by which a function was judged, in words of NumPy."""
    return {"float64": "complex128"}.get(precision.name, "complex64") if is_complex else precision.name
