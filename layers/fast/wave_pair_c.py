"""The wave pair (E4 twice, E5 or E6, E7) by functions in C, for float32 on the host, in scope "dimension".

Sums over the other tokens of a text keep their largest term apart (E4.7), and all between reading and writing is in
float64. Kept for backward: a and b, nothing for the tokens.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.bag import Bag
from engine.arrays.checks import check_floats
from engine.arrays.ragged import cut_in_segments, lengths
from engine.compiled.c_file import CFile
from engine.types import Floats2d, Offsets
from layers.equations import check_wave_pair
from layers.fast.bag_magnitude_c import check_bag

OPERATIONS = ("interference", "modulation")  # in the order of the C file
READOUTS = ("real", "imaginary", "magnitude", "both")
FUNCTIONS = CFile(
    __file__, wave_pair_forward="FFIIIII" + "iiii" + "df", wave_pair_backward="FFIIIII" + "iiiii" + "dFdd"
)


class Cache(NamedTuple):
    """cuts: (offsets of texts, of segments, number of segments before each text or None); choice: see choice_of."""

    a: Floats2d
    b: Floats2d
    bag: Bag
    cuts: tuple[Offsets, Offsets, Offsets | None]
    choice: tuple[int, int]


def supports(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    operation: str,
    readout: str,
    scope: str = "dimension",
    second: Bag | None = None,
) -> bool:
    """Whether these functions compute this. The equation reports what is wrong with wrong arguments."""
    known = scope == "dimension" and operation in OPERATIONS and readout in READOUTS
    return known and FUNCTIONS.takes(a, b)


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
    check_bag(bag, len(a))
    d, choice = a.shape[1], (OPERATIONS.index(operation), READOUTS.index(readout))
    cuts: tuple[Offsets, Offsets, Offsets | None] = (bag.offsets, bag.offsets, None)
    if second is not None:
        check_bag(second, len(a))
        cuts = (second.offsets, bag.offsets, cut_in_segments(bag.offsets, second.offsets))
    y = np.empty((int(bag.offsets[-1]), 2 * d if readout == "both" else d), a.dtype)
    texts = len(cuts[0]) - 1
    FUNCTIONS.call("wave_pair_forward", a, b, *bag[:2], *cuts, texts, d, *choice, np.empty(4 * d), y)
    return y, Cache(a, b, bag, cuts, choice)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    a, b, bag, cuts, choice = cache
    entries, d = int(bag.offsets[-1]), a.shape[1]
    check_floats("dy", dy, (entries, 2 * d if READOUTS[choice[1]] == "both" else d), like=a)
    da, db = np.zeros(a.shape), np.zeros(b.shape)
    texts, longest = len(cuts[0]) - 1, int(lengths(cuts[0]).max(initial=0))
    scratch, dy = np.empty(8 * d + 4 * longest * d), np.ascontiguousarray(dy)
    FUNCTIONS.call("wave_pair_backward", a, b, *bag[:2], *cuts, texts, d, *choice, longest, scratch, dy, da, db)
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        return da.astype(a.dtype), db.astype(b.dtype)
