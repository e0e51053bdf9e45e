"""Random ragged batches, trees of arrays, and checks of gradients, for the tests of layers/."""

import numpy as np
from hypothesis import strategies as st

from engine.gradcheck import assert_gradients, check_gradients
from layers.wave import Wave
from tests.support.examples import examples  # noqa: F401 (for the tests of layers/)

LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any)  # of texts; empty ones and single tokens too
SEEDS = st.integers(0, 2**32 - 1)

OFFSETS = np.array([0, 2, 2, 3])  # of the three rows below
ROWS = np.array([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]])


def offsets_of(lengths):
    """Offsets of texts with these lengths."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def random_rows(rng, rows, columns=3, decades=1.0):
    """(rows, columns) numbers of either sign between 10^−decades and 10^decades."""
    return rng.choice([-1.0, 1.0], (rows, columns)) * 10.0 ** rng.uniform(-decades, decades, (rows, columns))


def ragged(lengths, seed, columns=3, decades=1.0):
    """(rng, w, offsets) of a ragged batch.

    Some entries are 0, but at least two others of their text and column are not.
    """
    rng = np.random.default_rng(seed)
    offsets = offsets_of(lengths)
    w = random_rows(rng, offsets[-1], columns, decades)
    for start, n in zip(offsets, lengths):
        if n >= 3 and rng.random() < 0.3:
            w[start + rng.integers(n), rng.integers(columns)] = 0.0
    return rng, w, offsets


def groups(offsets, columns, scope):
    """((t, k), [(j, k), …]): the entries that share one global magnitude."""
    for t in range(len(offsets) - 1):
        rows = range(offsets[t], offsets[t + 1])
        if scope == "dimension":
            yield from (((t, k), [(j, k) for j in rows]) for k in range(columns))
        else:
            yield (t, 0), [(j, k) for j in rows for k in range(columns)]


def tree_map(function, tree):
    """The tree with `function` applied to every leaf that is an array."""
    if isinstance(tree, (tuple, list)):
        parts = [tree_map(function, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return function(tree) if isinstance(tree, (np.ndarray, np.floating)) else tree


def arrays(tree):
    """All arrays of a tree, in order."""
    found = []
    tree_map(found.append, tree)
    return found


def to_bytes(tree):
    """The exact contents of all arrays of a tree."""
    return [(a.dtype.str, a.shape, a.tobytes()) for a in arrays(tree)]


def random_like(rng, tree, dtype=np.float64):
    """Standard normal numbers in the form of a tree of arrays."""
    return tree_map(lambda a: np.asarray(rng.standard_normal(a.shape), dtype)[()], tree)


def distance(actual, expected):
    """Largest |a − b| over all arrays of two trees, each relative to the largest entry of the expected array."""
    pairs = list(zip(arrays(actual), arrays(expected), strict=True))
    assert all(a.shape == b.shape for a, b in pairs), [(a.shape, b.shape) for a, b in pairs]
    errors = [np.max(np.abs(a - b), initial=0.0) / (np.max(np.abs(b), initial=0.0) or 1.0) for a, b in pairs]
    return float(np.max(errors, initial=0.0))  # NaN if one is, which max() may pass over


def assert_equal(actual, expected, tolerance=0.0):
    """Every array agrees to `tolerance` times its largest entry; 0 asks for equal numbers."""
    assert distance(actual, expected) <= tolerance


def assert_exact_gradients(forward, backward, *inputs, **options):
    """Backward agrees with complex-step differentiation of forward to 1e-12."""
    assert_gradients(check_gradients(forward, backward, inputs, method="complex_step", tolerance=1e-12, **options))


def assert_five_point_gradients(forward, backward, *inputs, **options):
    """Backward agrees with five-point differences of forward to 1e-7."""
    assert_gradients(check_gradients(forward, backward, inputs, method="five_point", tolerance=1e-7, **options))


def caught(forward, backward, *inputs):
    """Whether the gradient check refuses a backward."""
    return not check_gradients(forward, backward, inputs).ok


class Run:
    """A problem drawn from a Case of gradcheck, in some dtype and memory layout, ready to be called."""

    def __init__(self, case, seed=0, dtype=np.float64, layout=lambda x: x):
        problem = case.draw(np.random.default_rng(seed))
        self.forward, self._backward, self.parameters = problem.forward, problem.backward, problem.parameters or {}

        def prepared(x):
            return layout(x.astype(np.float32).astype(dtype)) if x.dtype.kind == "f" and x.ndim else x

        self.inputs = tree_map(prepared, tuple(problem.inputs))
        for parameter in self.parameters.values():
            parameter.value = prepared(parameter.value)
        self.y, self.cache = self.forward(*self.inputs)

    def backward(self, dy, cache=None):
        """The gradients of inputs and parameters as one list of arrays."""
        for parameter in self.parameters.values():
            parameter.grad = None
        returned = self._backward(dy, self.cache if cache is None else cache)
        return [*arrays(returned), *(p.dense_grad() for p in self.parameters.values())]

    def cotangent(self, seed=1, dtype=np.float64):
        return random_like(np.random.default_rng(seed), self.y, dtype)


def random_waves(seed, rows, count=2):
    """Random Waves of that many rows."""
    rng = np.random.default_rng(seed)
    return [Wave(random_rows(rng, rows), random_rows(rng, rows)) for _ in range(count)]


def of_float32(re, im):
    """A Wave of one token and one dimension."""
    return Wave(np.array([[re]], np.float32), np.array([[im]], np.float32))
