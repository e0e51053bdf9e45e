"""Entries of a block, one by one: which is furthest off when its gradient has failed, and which lie on no kink."""

import numpy as np

from engine.arrays.backend import random_generator
from engine.gradcheck.point import entry_scales
from engine.gradcheck.trees import to_host_array

ENTRIES = 100  # looked at in a block; of a larger one a random sample


def worst_entry(check, position, method):
    """ "[2, 1]: numeric 0.5, analytic 0.7" for the worst entry of check.point.blocks[position]; "" for an empty block."""
    found = []
    method = "five_point" if method == "richardson" else method  # cheaper, and what is wrong is plain by now
    size = check.point.blocks[position].value.size
    for flat in chosen_entries(check, position):
        for part, scale, u in entry_directions(check.point, position, flat):
            slope = check.slope("an entry", method, u)[1]
            numeric = float(check.dy @ slope.vector) / scale
            analytic = check.inner_product(u) / scale
            excused = slope.kink_size / scale if slope.kinked else 0.0
            found.append((abs(numeric - analytic) - excused, flat, part, numeric, analytic))
    if not found:
        return ""
    _, flat, part, numeric, analytic = max(found, key=lambda entry: (np.nan_to_num(entry[0], nan=np.inf), -entry[1]))
    sample = "" if size <= ENTRIES else f" (of {ENTRIES} looked at)"
    return f"{index_of(check.point.blocks[position].value, flat)}{part}: numeric {numeric:.6g}, analytic {analytic:.6g}{sample}"


def chosen_entries(check, position):
    """The flat indices of all entries of a block, or of ENTRIES of them."""
    size = check.point.blocks[position].value.size
    chosen = (
        np.arange(size) if size <= ENTRIES else random_generator(check.seed, 3).choice(size, ENTRIES, replace=False)
    )
    return chosen.tolist()


def away_from_kinks(check, position, u):
    """A direction u of one block without the entries that meet a kink when they are moved alone (and those not looked at)."""
    smooth = np.zeros(u[position].size, bool)
    for flat in chosen_entries(check, position):
        smooth[flat] = not any(
            check.stencil_slope(alone, check.step).kinked
            for _, _, alone in entry_directions(check.point, position, flat)
        )
    return [np.where(smooth.reshape(part.shape), part, 0.0) if i == position else part for i, part in enumerate(u)]


def entry_directions(point, position, flat):
    """(name of the part, scale, direction) that move one entry by its scale: real and imaginary part of a complex one."""
    values = [to_host_array(block.value) for block in point.blocks]
    index = np.unravel_index(flat, values[position].shape)
    scale = float(entry_scales(values[position])[index])
    units = [(".re", 1.0), (".im", 1.0j)] if values[position].dtype.kind == "c" else [("", 1.0)]
    for part, unit in units:
        u = [np.zeros_like(value) for value in values]
        u[position][index] = unit * scale
        yield part, scale, u


def index_of(array, flat):
    """The index of an entry as Python writes it: [2, 1]."""
    return str([int(i) for i in np.unravel_index(flat, array.shape)])
