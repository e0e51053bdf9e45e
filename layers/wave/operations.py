"""The operations that combine two waves: one record each, and nothing else is needed for a new one.

An operation Z = f(A, B) is its equation file (forward and backward of two Waves of (T, d)), its chapter, and its
record here. Networks, gradient checks, traces and commands take it from OPERATIONS; where no fast implementation
lists it, its equation computes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from engine.arrays.checks import check_choice
from layers.wave.correlation import correlation_backward, correlation_forward
from layers.wave.interference import interference_backward, interference_forward
from layers.wave.modulation import modulation_backward, modulation_forward
from layers.wave.wave import Wave


class Operation(NamedTuple):
    """How two waves become one.

    forward: (A, B) → (Z, cache), backward: (dZ, cache) → (dA, dB); all Waves of (T, d). number: of its equation.
    latex: the equation, in A, B and Z. shares_magnitude: |Z| = G_A·G_B for every token of a text (then its magnitude is
    E17). circle: a bound of |Z| from (G_A, G_B), for pictures, and what it is called.
    flops: operations of forward and of backward per entry of Z. note: what a picture of the phasors shows.
    """

    name: str
    forward: Callable[[Wave, Wave], tuple[Wave, Any]]
    backward: Callable[[Wave, Any], tuple[Wave, Wave]]
    number: str
    latex: str
    latex_backward: str
    shares_magnitude: bool
    circle: tuple[Callable[[float, float], float], str]
    flops: tuple[int, int]
    note: str = ""


def product(G_a: float, G_b: float) -> float:
    return G_a * G_b


def total(G_a: float, G_b: float) -> float:
    return G_a + G_b


OPERATIONS: dict[str, Operation] = {
    "interference": Operation(
        "interference",
        interference_forward,
        interference_backward,
        "E5",
        r"Z = A + B",
        r"dA = dZ, \quad dB = dZ",
        shares_magnitude=False,
        circle=(total, "G + G′"),
        flops=(2, 0),
        note="The interference adds the arrows: where the two waves are in phase, the sum comes near the circle "
        "of the summed magnitudes, elsewhere it stays within.",
    ),
    "modulation": Operation(
        "modulation",
        modulation_forward,
        modulation_backward,
        "E6",
        r"Z = A\,B",
        r"dA = dZ\,\bar{B}, \quad dB = dZ\,\bar{A}",
        shares_magnitude=True,
        circle=(product, "G·G′"),
        flops=(6, 12),
        note="The modulation multiplies the magnitudes and adds the angles, so it has a circle too.",
    ),
    "correlation": Operation(
        "correlation",
        correlation_forward,
        correlation_backward,
        "E20",
        r"Z = A\,\bar{B}",
        r"dA = dZ\,B, \quad dB = \overline{dZ}\,A",
        shares_magnitude=True,
        circle=(product, "G·G′"),
        flops=(6, 12),
        note="The correlation multiplies the magnitudes and subtracts the angles, so it has a circle too.",
    ),
}


class Cache(NamedTuple):
    kind: str
    operation: Any  # the cache of the operation itself


def operation_forward(a: Wave, b: Wave, kind: str) -> tuple[Wave, Cache]:
    """a, b: Waves of (T, d), kind: a key of OPERATIONS → Z: Wave of (T, d), and the cache.

    Raises ValueError for an unknown kind and for differing shapes or dtypes.
    """
    check_choice("kind", kind, OPERATIONS)
    z, cache = OPERATIONS[kind].forward(a, b)
    return z, Cache(kind, cache)


def operation_backward(dz: Wave, cache: Cache) -> tuple[Wave, Wave]:
    """dz: Wave of (T, d) → (da, db), Waves of (T, d)."""
    return OPERATIONS[cache.kind].backward(dz, cache.operation)
