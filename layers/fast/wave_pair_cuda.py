"""The wave pair (E4 twice, E5 or E6, E7) by kernels (wave_pair_cuda.cu), in scope "dimension".

Kept for backward: a and b, nothing for the tokens.
"""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag, sum_entries
from engine.arrays.checks import check_floats
from engine.arrays.ragged import cut_in_segments
from engine.cuda.kernels import COLUMNS, KernelFile, blocks_of, fits
from engine.cuda.segments import THREADS
from engine.types import Floats2d, Offsets

OPERATIONS = ("interference", "modulation")
READOUTS = ("real", "imaginary", "magnitude", "phase", "both")
NUMBERS = {name.upper(): number for number, name in enumerate(OPERATIONS)}
NUMBERS.update({f"READOUT_{name.upper()}": number for number, name in enumerate(READOUTS)})
KERNELS = KernelFile(__file__, **NUMBERS)

Cuts = tuple[Offsets, ...]


class Cache(NamedTuple):
    """choice: numbers of the operation and the readout. bag: with its inverse index; cuts: of it, see cuts_of."""

    a: Floats2d
    b: Floats2d
    bag: Bag
    cuts: Cuts
    choice: tuple[int, int]


def implements(operation: str, readout: str, scope: str) -> bool:
    """Whether there are kernels for it."""
    return scope == "dimension" and operation in OPERATIONS and readout in READOUTS


def supports(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    operation: str,
    readout: str,
    scope: str = "dimension",
    second: Bag | None = None,
) -> bool:
    """Whether the kernels compute this. The equation reports what is wrong with wrong arguments."""
    known = implements(operation, readout, scope) and a.ndim == 2 and fits(b, a.shape, a)
    return known and (bag.row_index is not None or bag.entry_count() == len(a))


def forward(
    a: Floats2d,
    b: Floats2d,
    bag: Bag,
    operation: str,
    readout: str,
    scope: str = "dimension",
    second: Bag | None = None,
) -> tuple[Floats2d, Cache]:
    xp, (rows, d) = array_module(a, b, *bag[:3]), a.shape
    bag, choice = bag.with_inverse_index(rows), (OPERATIONS.index(operation), READOUTS.index(readout))
    y = xp.empty((bag.entry_count(), 2 * d if readout == "both" else d), a.dtype)
    cuts = cuts_of(bag, second)
    arrays, sizes = (a, b, *bag[:2], *cuts, y), (*sizes_of(bag, cuts), d, *choice)
    name = "wave_pair_forward" if second is None else "wave_pair_of_sentences_forward"
    KERNELS.launch(name, a, blocks_of_texts(cuts, d), THREADS, *arrays, *sizes)
    return y, Cache(a, b, bag, cuts, choice)


def backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    a, b, bag, cuts, choice = cache
    entries, (rows, d) = bag.entry_count(), a.shape
    check_floats("dy", dy, (entries, 2 * d if READOUTS[choice[1]] == "both" else d), like=a)
    xp = array_module(dy, a)
    da, db = xp.empty((entries, d), a.dtype), xp.empty((entries, d), a.dtype)
    arrays, sizes = (dy, a, b, *bag[:2], *cuts, da, db), (*sizes_of(bag, cuts), d, *choice)
    name = "wave_pair_backward" if len(cuts) == 1 else "wave_pair_of_sentences_backward"
    KERNELS.launch(name, dy, blocks_of_texts(cuts, d), THREADS, *arrays, *sizes)
    return sum_entries(da, bag, rows), sum_entries(db, bag, rows)


def cuts_of(bag: Bag, second: Bag | None) -> Cuts:
    """(offsets of texts, of sentences, number of sentences before each text); the last two only with second."""
    if second is None:
        return (bag.offsets,)
    return second.offsets, bag.offsets, cut_in_segments(bag.offsets, second.offsets)


def blocks_of_texts(cuts: Cuts, d: int) -> tuple[int, int]:
    """One block for each text and 32 columns, and one more for entries that no text has."""
    return len(cuts[0]), blocks_of(d, COLUMNS)


def sizes_of(bag: Bag, cuts: Cuts) -> tuple[int, int]:
    """(B, P)."""
    return len(cuts[0]) - 1, bag.entry_count()
