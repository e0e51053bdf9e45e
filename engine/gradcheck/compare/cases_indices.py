"""Integer inputs: embeddings, ragged segments, gathering and counting."""

import numpy as np

from ..arrays import Array
from .case import Result, family, normal, with_entry

IDS = np.array([4, 1, 4, 0, 1, 4])
OFFSETS = np.array([0, 3, 3, 5, 9])  # the second segment is empty


def embedding(table: Array, ids: Array) -> Result:
    return table[ids], (ids, table.shape)


def embedding_backward(dy: Array, cache: tuple[Array, tuple[int, ...]]) -> Array:
    ids, shape = cache
    dtable = np.zeros(shape)
    np.add.at(dtable, ids, dy)
    return dtable


def last_of_equal_ids(dy: Array, cache: tuple[Array, tuple[int, ...]]) -> Array:
    return with_entry(np.zeros(cache[1]), cache[0], lambda _: dy)


def counted_twice(dy: Array, cache: tuple[Array, tuple[int, ...]]) -> Array:
    counts = np.bincount(cache[0], minlength=cache[1][0])
    return np.asarray(embedding_backward(dy, cache) / np.maximum(counts, 1)[:, None])


def segments(x: Array, offsets: Array) -> Array:
    """Return the number of the segment of each row."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def segment_mean(x: Array, offsets: Array) -> Result:
    sizes = np.maximum(np.diff(offsets), 1)[:, None]
    y = np.zeros((len(sizes), x.shape[1]), x.dtype)
    np.add.at(y, segments(x, offsets), x)
    return y / sizes, (x, offsets, sizes)


def segment_mean_backward(dy: Array, cache: tuple[Array, ...], shift: int = 0, mean: bool = True) -> Array:
    x, offsets, sizes = cache
    moved = offsets + shift * np.array([0, 0, 0, 1, 0])
    return np.asarray((dy / sizes if mean else dy)[segments(x, moved)])


def segment_softmax(x: Array, offsets: Array) -> Result:
    of = segments(x, offsets)
    e = np.exp(x)
    sums = np.zeros(len(offsets) - 1, x.dtype)
    np.add.at(sums, of, e)
    return e / sums[of], (e / sums[of], of, len(sums))


def segment_softmax_backward(dy: Array, cache: tuple[Array, Array, int], ragged: bool = True) -> Array:
    y, of, count = cache
    sums = np.bincount(of if ragged else 0 * of, y * dy, count)
    return np.asarray(y * (dy - sums[of if ragged else 0 * of]))


def histogram(weights: Array, ids: Array) -> Result:
    return np.bincount(ids, weights, 6), ids


def take_along(x: Array, at: Array) -> Result:
    return np.take_along_axis(x, at, axis=1), (x.shape, at)


def take_along_backward(dy: Array, cache: tuple[tuple[int, ...], Array]) -> Array:
    dx = np.zeros(cache[0])
    np.put_along_axis(dx, cache[1], dy, axis=1)
    return dx


CASES = [
    *family(
        "embedding",
        embedding,
        lambda: (normal(110, 6, 3), IDS),
        (embedding_backward, "rows that occur up to three times, and rows that do not"),
        {
            "last of equal ids": (last_of_equal_ids, "assigned in place of added"),
            "mean of equal ids": (counted_twice, "averaged in place of added"),
            "unused rows": (lambda dy, c: embedding_backward(dy, c) + 1e-4, "rows without an id have no gradient"),
        },
    ),
    *family(
        "mean of ragged segments",
        segment_mean,
        lambda: (normal(111, 9, 2), OFFSETS),
        (segment_mean_backward, "segments of 3, 0, 2 and 4 rows"),
        {
            "sizes missing": (lambda dy, c: segment_mean_backward(dy, c, mean=False), "as of a sum"),
            "boundary off by one": (lambda dy, c: segment_mean_backward(dy, c, shift=1), "one row to its neighbour"),
        },
    ),
    *family(
        "softmax of ragged segments",
        segment_softmax,
        lambda: (normal(112, 9), OFFSETS),
        (segment_softmax_backward, "normalised within each segment"),
        {"one sum for all": (lambda dy, c: segment_softmax_backward(dy, c, False), "the segments are forgotten")},
    ),
    *family(
        "weighted histogram",
        histogram,
        lambda: (normal(113, 6), IDS),
        (lambda dy, ids: dy[ids], "NumPy's bincount takes no complex weights"),
        {"in order": (lambda dy, ids: dy, "as many bins as entries: shapes do not tell")},
    ),
    *family(
        "take along an axis",
        take_along,
        lambda: (normal(114, 3, 4), np.array([[2, 0], [1, 3], [3, 2]])),
        (take_along_backward, "indices that differ by row"),
        {"from the front": (lambda dy, c: with_entry(np.zeros(c[0]), np.s_[:, :2], lambda _: dy), "indices ignored")},
    ),
]
