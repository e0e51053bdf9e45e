"""The law of every kernel: it computes what its equation does, whatever the order of threads, and it really ran."""

import numpy as np

from layers.fast import FUNCTIONS
from tests.support.layer_laws import arrays, distance, random_like, tree_map

SIZES = (1, 31, 32, 33, 255, 256, 257, 1000)  # across the borders of warps and blocks
TOLERANCES = {np.float32: 2e-6, np.float64: 1e-13}


def as_dtype(tree, dtype):
    """The float arrays of a tree in another dtype."""
    return tree_map(lambda x: x.astype(dtype) if x.dtype.kind == "f" else x, tree)


def both_pairs(name):
    """The function pair of that name as it is dispatched, and its equation."""
    return FUNCTIONS["fast"].pairs[name], FUNCTIONS["equations"].pairs[name]


def assert_kernels_agree(emulated, pairs, inputs, kernels, seed=0, tolerances=TOLERANCES, **options):
    """Kernels and equations agree on `inputs` in both dtypes, forward and backward, in whatever order threads run.

    pairs: the name of a function pair, or two pairs of (forward, backward), of kernels and of the equation.
    kernels: names that must have run. options: named arguments. Returns {dtype: worst error}.
    """
    (forward, backward), (equation_forward, equation_backward) = both_pairs(pairs) if isinstance(pairs, str) else pairs
    worst = {}
    for dtype, tolerance in tolerances.items():
        converted = as_dtype(tuple(inputs), dtype)
        chosen = {name: as_dtype(value, dtype) for name, value in options.items()}
        y, cache = equation_forward(*converted, **chosen)
        dy = as_dtype(random_like(np.random.default_rng(seed), y), dtype)
        expected = (y, equation_backward(dy, cache))
        runs = []
        for backwards in (False, True):
            with emulated(backwards) as emulator:
                y, cache = forward(*converted, **chosen)
                runs.append((y, backward(dy, cache)))
            assert {(name, np.dtype(dtype).name) for name in kernels} <= emulator.launched
        in_order, reversed_order = ([a.tobytes() for a in arrays(run)] for run in runs)
        assert in_order == reversed_order, "the order of threads matters"
        worst[dtype] = distance(as_dtype(runs[0], np.float64), as_dtype(expected, np.float64))
        assert worst[dtype] <= tolerance, f"{np.dtype(dtype)}: {worst[dtype]:.2e}"
    return worst
