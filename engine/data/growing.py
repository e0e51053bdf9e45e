"""Arrays that grow at their end: in memory, or in a file that is mapped when it is complete."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.arrays.ragged import offsets_from
from engine.types import Array, Ints1d, Offsets


class GrowingArray:
    """A one-dimensional array in memory; what it takes doubles, so that n entries are copied O(n) times in all."""

    def __init__(self, dtype: npt.DTypeLike, first: Any = ()) -> None:
        self.room = np.array(first, dtype)
        self.count = len(self.room)

    def __len__(self) -> int:
        return self.count

    def append(self, values: npt.ArrayLike) -> None:
        """Put values behind the last one."""
        end = self.count + np.size(values)
        if end > len(self.room):
            room = np.empty(max(end, 2 * len(self.room)), self.room.dtype)
            room[: self.count] = self.room[: self.count]
            self.room = room
        self.room[self.count : end] = values
        self.count = end

    def array(self) -> Array:
        """The values so far: a view that later ones do not change."""
        return self.room[: self.count]


class GrowingLists:
    """Lists of integers, numbered from 0. values: int32, one list after the other; offsets: (n + 1,) int64."""

    def __init__(self) -> None:
        self.values, self.offsets = GrowingArray(np.int32), GrowingArray(np.int64, [0])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def append(self, values: Ints1d, counts: Ints1d) -> None:
        """Put lists of these lengths behind the last one."""
        self.offsets.append(len(self.values) + np.cumsum(counts, dtype=np.int64))
        self.values.append(values)

    def of(self, numbers: Ints1d) -> tuple[Ints1d, Offsets]:
        """(values, offsets) of the lists of these numbers, one after the other."""
        return gathered_lists(self.values.array(), self.offsets.array(), numbers)

    def since(self, number: int) -> tuple[Ints1d, Offsets]:
        """(values, offsets) of the lists from a number on."""
        offsets = self.offsets.array()[number:]
        return self.values.array()[offsets[0] :], offsets - offsets[0]


def gathered_lists(values: Ints1d, offsets: Offsets, rows: Ints1d) -> tuple[Ints1d, Offsets]:
    """The lists values[offsets[i]:offsets[i + 1]] of some rows i, one after the other, and their offsets."""
    starts = offsets[rows]
    counts = offsets[1:][rows] - starts
    offsets, places = gathered(starts, counts)
    return values[places], offsets


def gathered(starts: Ints1d, counts: Ints1d) -> tuple[Offsets, Ints1d]:
    """(offsets, places) of runs that are put one after the other, each `counts` long and from `starts` in the old."""
    offsets = offsets_from(counts)
    # Each place in the new order, moved to where its run began in the old one.
    return offsets, np.arange(offsets[-1]) + (starts - offsets[:-1]).repeat(counts)


class FileArray:
    """A one-dimensional array in a .npy file, which need not fit into memory."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.path, self.dtype, self.count = path, np.dtype(dtype), 0
        self.file = open(path, "w+b")
        self.write_header()

    def __len__(self) -> int:
        return self.count

    def write_header(self) -> None:
        """Write a header for the values so far; NumPy leaves room in it for a longer one."""
        self.file.seek(0)
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def append(self, values: npt.ArrayLike) -> None:
        """Put values behind the last one. OSError where the disk is full."""
        written = np.ascontiguousarray(values, self.dtype)
        self.file.write(written.data)
        self.count += written.size

    def finish(self) -> Array:
        """Complete the file and return its values, mapped."""
        self.write_header()
        self.file.close()
        return mapped(self.path)


def mapped(path: Path) -> Array:
    """The values of a .npy file as a plain array over its pages, which the system reads when they are needed."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
