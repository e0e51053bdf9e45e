"""The law of every kernel: it does what its plain twin does, whatever the order of threads, and it really ran."""

import numpy as np

from tests.support.layer_laws import arrays, distance, random_like, tree_map

SIZES = (1, 31, 32, 33, 255, 256, 257, 1000)  # across the borders of warps and blocks
TOLERANCES = {np.float32: 2e-6, np.float64: 1e-13}


def as_dtype(tree, dtype):
    """The float arrays of a tree in another dtype."""
    return tree_map(lambda x: x.astype(dtype) if x.dtype.kind == "f" else x, tree)


def assert_kernels_agree(emulated, forward, backward, inputs, kernels, seed=0, tolerances=TOLERANCES, **options):
    """Fused and plain bodies of a pair agree on `inputs` in both dtypes, forward and backward, in whatever order threads run.

    kernels: names that must have run. Returns {dtype: worst error}.
    """
    worst = {}
    for dtype, tolerance in tolerances.items():
        converted, chosen = (
            as_dtype(tuple(inputs), dtype),
            {name: as_dtype(value, dtype) for name, value in options.items()},
        )
        y, cache = forward(*converted, **chosen)
        dy = as_dtype(random_like(np.random.default_rng(seed), y), dtype)
        expected = (y, backward(dy, cache))
        runs = []
        for backwards in (False, True):
            with emulated(backwards) as emulator:
                y, cache = forward(*converted, **chosen)
                runs.append((y, backward(dy, cache)))
            assert {(name, np.dtype(dtype).name) for name in kernels} <= emulator.launched
        assert [a.tobytes() for a in arrays(runs[0])] == [a.tobytes() for a in arrays(runs[1])], (
            "the order of threads matters"
        )
        worst[dtype] = distance(as_dtype(runs[0], np.float64), as_dtype(expected, np.float64))
        assert worst[dtype] <= tolerance, f"{np.dtype(dtype)}: {worst[dtype]:.2e}"
    return worst
