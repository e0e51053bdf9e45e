"""The wave pair by kernels (wave_pair.cu), in scope "dimension". Kept for backward: a and b, nothing for the tokens."""

from typing import NamedTuple

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag, sum_entries
from engine.arrays.checks import check_floats
from engine.cuda.kernels import COLUMNS, KernelFile, blocks_of
from engine.cuda.segments import THREADS

OPERATIONS = ("interference", "modulation")
READOUTS = ("real", "imaginary", "magnitude", "phase", "both")
NUMBERS = {name.upper(): number for number, name in enumerate(OPERATIONS)}
NUMBERS.update({f"READOUT_{name.upper()}": number for number, name in enumerate(READOUTS)})
KERNELS = KernelFile(__file__, **NUMBERS)


class Cache(NamedTuple):
    """choice: numbers of the operation and the readout. bag: with its links."""

    a: object
    b: object
    bag: Bag
    choice: tuple


def implements(operation: str, readout: str, scope: str) -> bool:
    """Whether there are kernels for it."""
    return scope == "dimension" and operation in OPERATIONS and readout in READOUTS


def supports(a, b, bag, operation, readout, scope="dimension"):
    """Whether the kernels compute this. What is wrong with wrong arguments, the plain body tells."""
    if not implements(operation, readout, scope):
        return False
    fits = getattr(b, "shape", None) == a.shape and a.ndim == 2 and b.dtype == a.dtype
    return fits and (bag.row_index is not None or bag.entry_count() == len(a))


def forward(a, b, bag, operation, readout, scope="dimension"):
    xp, (rows, d) = array_module(a, b, *bag[:3]), a.shape
    bag, choice = bag.with_inverse_index(rows), (OPERATIONS.index(operation), READOUTS.index(readout))
    y = xp.empty((bag.entry_count(), 2 * d if readout == "both" else d), a.dtype)
    KERNELS.launch(
        "wave_pair_forward", a, blocks_of_texts(bag, d), THREADS, a, b, *bag[:3], y, *sizes_of(bag), d, *choice
    )
    return y, Cache(a, b, bag, choice)


def backward(dy, cache):
    a, b, bag, choice = cache
    entries, (rows, d) = bag.entry_count(), a.shape
    check_floats("dy", dy, (entries, 2 * d if READOUTS[choice[1]] == "both" else d), like=a)
    xp = array_module(dy, a)
    da, db = xp.empty((entries, d), a.dtype), xp.empty((entries, d), a.dtype)
    KERNELS.launch(
        "wave_pair_backward",
        dy,
        blocks_of_texts(bag, d),
        THREADS,
        dy,
        a,
        b,
        *bag[:3],
        da,
        db,
        *sizes_of(bag),
        d,
        *choice,
    )
    return sum_entries(da, bag, rows), sum_entries(db, bag, rows)


def blocks_of_texts(bag, d):
    """One block for each text and 32 columns, and one more for entries that no text has."""
    return len(bag.offsets), blocks_of(d, COLUMNS)


def sizes_of(bag):
    """(B, P)."""
    return len(bag.offsets) - 1, bag.entry_count()
