"""Find the wrong entries of a failing gradient by halving the support of a direction.

The error e(S) = ⟨dy, J·u_S⟩ − ⟨Jᵀ·dy, u_S⟩, where u_S is u within a set S of entries and 0 elsewhere, adds up: that of
a half is what the other half leaves of the whole. So every halving costs one central difference (or complex step), and
one wrong entry of a million is found with twenty.
"""

from collections.abc import Sequence

import numpy as np

from .arrays import Array, Direction, norm, random_generator, to_host_array
from .derivatives import Slope
from .entries import Entry, entries, index_of
from .verdict import Judge

FEW = 32  # entries that are looked at one by one
MOST = 10  # wrong entries that are named
SAMPLE = 8  # entries of which all are wrong where everything is
LONG = 2_000  # entries of which a single wrong one is first looked for by its weight, to one part in so many
BUDGET = 40 * MOST  # slopes taken at most
CLEAR = 100.0  # times the noise of differences: an error that they show well
SHARE = 0.25  # of the tolerance of the whole: the error below which a half counts as right


def wrong_entries(judge: Judge, position: int, method: str, u: Direction) -> str:
    """Name the entries of a block that make its gradient fail along u, the one that is furthest off first.

    "[2, 1]: numeric 0.5, analytic 0.7", and what else is known: how many are wrong and which, whether whole rows or
    columns are, or everything. "" where no single entry is found to be wrong.
    """
    value = judge.point.blocks[position].value
    if value.size <= FEW:
        found = wrong_of(judge, position, method, range(value.size))
        return described(value, found, all_of(found, value.size))
    search = Search(judge, position, method, u)
    sample = [int(flat) for flat in random_generator(judge.seed, 3).choice(value.size, SAMPLE, replace=False)]
    if search.any_of(sample):
        found = wrong_of(judge, position, method, sample)
        if len({entry.flat for entry in found}) == SAMPLE:
            return described(value, found, f"every one of {SAMPLE} entries looked at is wrong")
    found, slices = search.run()
    return described(value, found, listed(value, found, slices, search.stopped))


def wrong_of(judge: Judge, position: int, method: str, chosen: Sequence[int]) -> list[Entry]:
    """Return those of some entries whose own check fails."""
    return [entry for entry in entries(judge, position, method, chosen) if entry.wrong]


def all_of(found: Sequence[Entry], size: int) -> str:
    """Say how many of all entries of a small block are wrong."""
    count = len({entry.flat for entry in found})
    return "" if count <= 1 else "every entry is wrong" if count == size else f"{count} of {size} entries are wrong"


def described(value: Array, found: Sequence[Entry], what: str) -> str:
    """Return the text of a row's `entry`; "" where nothing was found."""
    if not found:
        return ""
    worst = max(found, key=lambda entry: (np.nan_to_num(entry.off, nan=np.inf), -entry.flat))
    numbers = f"numeric {worst.numeric:.6g}, analytic {worst.analytic:.6g}"
    return f"{index_of(value, worst.flat)}{worst.part}: {numbers}" + (f"; {what}" if what else "")


def listed(value: Array, found: Sequence[Entry], slices: Sequence[str], stopped: bool) -> str:
    """Say which entries and slices are wrong."""
    if slices:
        return f"wrong as a whole: {', '.join(slices)}" + (", and others" if stopped else "")
    names = list(dict.fromkeys(index_of(value, entry.flat) for entry in found))
    if len(names) <= 1 and not stopped:
        return ""
    return f"{len(names)} wrong entries{', stopped there' if stopped else ''}: {', '.join(names)}"


class Search:
    """The halving of one block. stopped: it ended before everything was seen."""

    def __init__(self, judge: Judge, position: int, method: str, u: Direction) -> None:
        self.judge, self.position, self.method = judge, position, method
        self.u = to_host_array(u[position]).copy()
        self.shape, self.count, self.stopped = self.u.shape, 0, False
        self.rest = [np.zeros_like(to_host_array(part)) for part in u]
        self.h = judge.precision.steps["five_point"] if judge.step is None else judge.step
        self.limit, self.by_complex_step = 0.0, False
        self.whole = self.error()  # by differences, which cost less than complex steps, where they show the error well
        precision, (error, size) = judge.precision, self.whole
        noise = (
            precision.rounding * precision.epsilon * norm(judge.dy * judge.y) / self.h + self.h**2 / self.u.size * size
        )
        clear = max(CLEAR * noise, precision.tolerances["five_point"] * size)
        if method == "complex_step" and not abs(error) > clear:
            self.by_complex_step = True
            self.whole = self.error()

    def run(self) -> tuple[list[Entry], list[str]]:
        """Return (wrong entries, names of slices that are wrong as a whole)."""
        found: list[Entry] = []
        slices: list[str] = []
        for _ in range(MOST):
            error, size = self.whole
            self.limit = max(self.limit, SHARE * self.tolerance() * size)
            if not abs(error) > self.limit:
                break
            new = self.halve(error)
            found += new
            name = self.whole_slice(new)
            if name is None:
                break
            slices.append(name)
            self.stopped = False
            self.whole = self.error()
        return found, slices

    def any_of(self, sample: Sequence[int]) -> bool:
        """Tell whether entries look wrong when they are moved together."""
        error, size = self.error(sample)
        return not abs(error) <= SHARE * self.tolerance() * size

    def tolerance(self) -> float:
        """Return that of the method by which the search goes."""
        return self.judge.tolerance_of(self.method if self.by_complex_step else "five_point")

    def error(self, chosen: slice | Sequence[int] = slice(None), weights: Array | None = None) -> tuple[float, float]:
        """Return (e, ‖dy‖·‖J·u‖) of some entries of the flattened block, each with a weight."""
        part = np.zeros(self.u.size, self.u.dtype)
        part[chosen] = self.u.ravel()[chosen]
        slope, u = self.slope((part if weights is None else part * weights).reshape(self.shape))
        numeric = float(self.judge.dy @ slope.vector)
        return numeric - self.judge.inner_product(u), norm(self.judge.dy) * norm(slope.vector)

    def slope(self, part: Array) -> tuple[Slope, Direction]:
        """Return the slope along a direction of this block, and the direction as the inputs truly moved."""
        self.count += 1
        u = [part if i == self.position else zeros for i, zeros in enumerate(self.rest)]
        if self.by_complex_step:
            return self.judge.complex_slope(u), u
        line = self.judge.line(u)
        with np.errstate(all="ignore"):
            slope = line.ended(Slope((line.at(self.h) - line.at(-self.h)) / (2.0 * self.h), self.h))
        return slope, u if slope.direction is None else slope.direction

    def halve(self, error: float) -> list[Entry]:
        """Return at most MOST wrong entries, from the first on."""
        open_parts = [self.surroundings(error)]
        found: list[Entry] = []
        while open_parts:
            if len(found) >= MOST or self.count >= BUDGET:
                self.stopped = True
                break
            start, stop, error = open_parts.pop()
            if stop - start == 1:
                found += wrong_of(self.judge, self.position, self.method, [start])
                continue
            middle = (start + stop) // 2
            left = self.error(slice(start, middle))[0]
            open_parts += [
                (a, b, e)
                for a, b, e in ((middle, stop, error - left), (start, middle, left))
                if not abs(e) <= self.limit and np.any(self.u.ravel()[a:b])
            ]
        return found

    def surroundings(self, error: float) -> tuple[int, int, float]:
        """Return (start, stop, e) of a short piece that has the whole error, or of everything.

        Weighted by its index, a single wrong entry has an error that tells its place.
        """
        size = self.u.size
        if size >= LONG and np.isfinite(error):
            place = self.error(weights=np.arange(size) / size)[0] / error * size
            start, stop = (min(max(int(place + side * size / LONG), 0), size) for side in (-1.0, 1.0))
            if start < stop and abs((inside := self.error(slice(start, stop))[0]) - error) <= self.limit:
                return start, stop, inside
        return 0, size, error

    def whole_slice(self, found: Sequence[Entry]) -> str | None:
        """Name a row or column that is wrong as a whole and holds all that was found, and take it out of u.

        None where there is none. Of a long one some entries are looked at.
        """
        if len(self.shape) < 2 or len({entry.flat for entry in found}) < 2:
            return None
        indices = np.array(np.unravel_index([entry.flat for entry in found], self.shape))
        for axis, at in enumerate(indices):
            size = self.u.size // self.shape[axis]
            if len(set(at)) > 1 or size < 2:
                continue
            chosen = random_generator(self.judge.seed, 4).choice(size, min(size, SAMPLE), replace=False)
            places = np.moveaxis(np.arange(self.u.size).reshape(self.shape), axis, 0)[at[0]].ravel()[chosen]
            if len({e.flat for e in wrong_of(self.judge, self.position, self.method, places.tolist())}) == len(chosen):
                np.moveaxis(self.u, axis, 0)[at[0]] = 0.0
                return "[" + ", ".join(str(int(at[0])) if a == axis else ":" for a in range(len(self.shape))) + "]"
        return None
