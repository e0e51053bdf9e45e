"""Entries of a block, one by one: which is furthest off when its gradient has failed, and which lie on no kink."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from engine.gradcheck.arrays import random_generator, to_host_array
from engine.gradcheck.point import Point, entry_scales
from engine.gradcheck.types import Array, Direction
from engine.gradcheck.verdict import Judge

ENTRIES = 100  # looked at in a block; of a larger one a random sample


class Entry(NamedTuple):
    """The two derivatives by one entry of a block.

    part: "", or ".re", ".im" of a complex one. off: the error that no kink excuses.
    """

    flat: int
    part: str
    numeric: float
    analytic: float
    off: float


def entries(judge: Judge, position: int, method: str, chosen: Iterable[int]) -> list[Entry]:
    """Differentiate by the entries of a block with these flat indices."""
    found = []
    method = "five_point" if method == "richardson" else method  # cheaper, and digits enough for one entry
    for flat in chosen:
        for part, scale, u in entry_directions(judge.point, position, flat):
            slope = judge.slope("an entry", method, u)[1]
            numeric = float(judge.dy @ slope.vector) / scale
            analytic = judge.inner_product(u) / scale
            excused = slope.kink_size / scale if slope.kinked else 0.0
            found.append(Entry(flat, part, numeric, analytic, abs(numeric - analytic) - excused))
    return found


def worst_entry(judge: Judge, position: int, method: str) -> str:
    """Name the entry of a block that is furthest off: "[2, 1]: numeric 0.5, analytic 0.7"; "" for an empty block."""
    found = entries(judge, position, method, chosen_entries(judge, position))
    if not found:
        return ""
    worst = max(found, key=lambda entry: (np.nan_to_num(entry.off, nan=np.inf), -entry.flat))
    value = judge.point.blocks[position].value
    sample = "" if value.size <= ENTRIES else f" (of {ENTRIES} looked at)"
    numbers = f"numeric {worst.numeric:.6g}, analytic {worst.analytic:.6g}"
    return f"{index_of(value, worst.flat)}{worst.part}: {numbers}{sample}"


def chosen_entries(judge: Judge, position: int) -> list[int]:
    """Return the flat indices of all entries of a block, or of ENTRIES of them."""
    size = judge.point.blocks[position].value.size
    if size <= ENTRIES:
        return list(range(size))
    return [int(i) for i in random_generator(judge.seed, 3).choice(size, ENTRIES, replace=False)]


def away_from_kinks(judge: Judge, position: int, u: Direction) -> Direction:
    """Return a direction u of one block without the entries that meet a kink when moved alone.

    Entries that were not looked at are left out as well.
    """
    smooth = np.zeros(u[position].size, bool)
    for flat in chosen_entries(judge, position):
        smooth[flat] = not any(
            judge.stencil_slope(alone, judge.step).kinked
            for _, _, alone in entry_directions(judge.point, position, flat)
        )
    return [np.where(smooth.reshape(part.shape), part, 0.0) if i == position else part for i, part in enumerate(u)]


def entry_directions(point: Point, position: int, flat: int) -> Iterator[tuple[str, float, Direction]]:
    """Yield (name of the part, scale, direction) that move one entry by its scale: both parts of a complex one."""
    values = [to_host_array(block.value) for block in point.blocks]
    index = np.unravel_index(flat, values[position].shape)
    scale = float(entry_scales(values[position])[index])
    units = [(".re", 1.0), (".im", 1.0j)] if values[position].dtype.kind == "c" else [("", 1.0)]
    for part, unit in units:
        u = [np.zeros_like(value) for value in values]
        u[position][index] = unit * scale
        yield part, scale, u


def index_of(array: Array, flat: int) -> str:
    """Return the index of an entry as Python writes it: [2, 1]."""
    return str([int(i) for i in np.unravel_index(flat, array.shape)])
