"""Which entry of a block is furthest off, when the block's gradient has failed."""

import numpy as np

from engine.backend import random_generator
from engine.gradcheck.point import entry_scales
from engine.gradcheck.trees import to_host_array

ENTRIES = 100  # looked at in a block; of a larger one a random sample


def worst_entry(check, position, method):
    """ "[2, 1]: numeric 0.5, analytic 0.7" for the worst entry of check.point.blocks[position]; "" for an empty block."""
    found = []
    method = "five_point" if method == "richardson" else method  # cheaper, and what is wrong is plain by now
    size = check.point.blocks[position].value.size
    chosen = np.arange(size) if size <= ENTRIES else random_generator(check.seed, 3).choice(size, ENTRIES, replace=False)
    for flat in chosen.tolist():
        for part, scale, u in entry_directions(check.point, position, flat):
            numeric = float(check.dy @ check.slope("an entry", method, u)[1].vector) / scale
            analytic = check.inner_product(u) / scale
            found.append((abs(numeric - analytic), flat, part, numeric, analytic))
    if not found:
        return ""
    _, flat, part, numeric, analytic = max(found, key=lambda entry: (np.nan_to_num(entry[0], nan=np.inf), -entry[1]))
    sample = "" if size <= ENTRIES else f" (of {ENTRIES} looked at)"
    return f"{index_of(check.point.blocks[position].value, flat)}{part}: numeric {numeric:.6g}, analytic {analytic:.6g}{sample}"


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
