"""Entries of a block, one by one: the two derivatives by each, and which lie on no kink."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from .arrays import Array, Direction, random_generator, to_host_array
from .point import Point
from .verdict import Judge

ENTRIES = 100  # looked at for kinks in a block; of a larger one a random sample


class Entry(NamedTuple):
    """The two derivatives by one entry of a block.

    part: "", or ".re", ".im" of a complex one. off: the error that no kink excuses. wrong: whether its check fails.
    """

    flat: int
    part: str
    numeric: float
    analytic: float
    off: float
    wrong: bool


def entries(judge: Judge, position: int, method: str, chosen: Iterable[int]) -> list[Entry]:
    """Differentiate by the entries of a block with these flat indices."""
    found = []
    method = "five_point" if method == "richardson" else method  # cheaper, and digits enough for one entry
    for flat in chosen:
        for part, scale, u in entry_directions(judge.point, position, flat):
            used, slope = judge.slope("an entry", method, u)
            row = judge.closer(judge.judge("an entry", used, slope, u), slope, u)
            numeric, analytic = (float(judge.unit(u) * (x or 0.0)) / scale for x in (row.numeric, row.analytic))
            excused = slope.kink_size / scale if slope.kinked else 0.0
            off = abs(numeric - analytic) - excused
            found.append(Entry(flat, part, numeric, analytic, off, row.verdict == "FAIL"))
    return found


def chosen_entries(judge: Judge, position: int) -> list[int]:
    """Return the flat indices of all entries of a block, or of ENTRIES of them."""
    size = judge.point.blocks[position].value.size
    if size <= ENTRIES:
        return list(range(size))
    return [int(i) for i in random_generator(judge.seed, 3).choice(size, ENTRIES, replace=False)]


def away_from_kinks(judge: Judge, position: int, u: Direction) -> Direction:
    """Return a direction u of one block without the entries that meet a kink when moved alone.

    Of a block with more than ENTRIES all that were not looked at are left out as well, unless those that are not 0, as
    most entries on kinks are, turn out to meet none.
    """
    value = to_host_array(judge.point.blocks[position].value)
    looked_at = chosen_entries(judge, position)
    smooth = np.zeros(value.size, bool)
    for flat in looked_at:
        smooth[flat] = not any(
            judge.stencil_slope(alone, judge.step).kinked
            for _, _, alone in entry_directions(judge.point, position, flat)
        )
    if len(looked_at) < value.size:
        wide = value.ravel() != 0
        wide[looked_at] &= smooth[looked_at]
        along = within(u, position, wide)
        if not judge.stencil_slope(along, judge.step).kinked:
            return along
    return within(u, position, smooth)


def within(u: Direction, position: int, kept: Array) -> Direction:
    """Return a direction with only some entries of one block; kept: a bool for each, flat."""
    return [np.where(kept.reshape(part.shape), part, 0.0) if i == position else part for i, part in enumerate(u)]


def entry_directions(point: Point, position: int, flat: int) -> Iterator[tuple[str, float, Direction]]:
    """Yield (name of the part, scale, direction) that move one entry by its scale: both parts of a complex one."""
    values = [to_host_array(block.value) for block in point.blocks]
    index = np.unravel_index(flat, values[position].shape)
    scale = float(point.scales[position][index])
    units = [(".re", 1.0), (".im", 1.0j)] if values[position].dtype.kind == "c" else [("", 1.0)]
    for part, unit in units:
        u = [np.zeros(v.shape, np.complex128 if v.dtype.kind == "c" else np.float64) for v in values]
        u[position][index] = unit * scale
        yield part, scale, u


def index_of(array: Array, flat: int) -> str:
    """Return the index of an entry as Python writes it: [2, 1]."""
    return str([int(i) for i in np.unravel_index(flat, array.shape)])
