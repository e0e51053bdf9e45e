"""Figures that need no GPU: errors of the kernels by emulation, and the memory and launches of a step of `paper`.

python -m tests.support.kernel_report
"""

import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine.arrays.backend import random_generator
from engine.support.text import format_table
from engine.training.adamw import AdamW
from engine.training.step import update
from layers.experiments.benchmark.workloads import VOCABULARY, config_of, random_texts
from layers.fast.wave_pair_cuda import OPERATIONS, READOUTS
from layers.networks import build_network
from layers.standard.layer_norm import EPSILON
from tests.support.emulated_device import emulated_device
from tests.support.emulation import emulating
from tests.support.layer_laws import distance, random_like
from tests.support.random_bags import random_bag
from tests.support.twin_checks import as_dtype, both_pairs

WIDTHS, LENGTHS = (1, 31, 32, 33, 257, 768), (7, 0, 1, 300, 40)
BATCH, STEPS = 64, 4


def cases(width):
    """{function pair: [arguments of forward, …]} of random numbers with this number of columns."""
    rng = np.random.default_rng(width)
    normal = rng.standard_normal
    rows, bag = random_bag(rng, LENGTHS, "merged", 60)
    a, b = normal((2, rows, width))
    # Without the phase of a modulation, which jumps from π to −π.
    pairs = [(o, r) for o in OPERATIONS for r in READOUTS if (o, r) != ("modulation", "phase")]
    gain, bias = normal((2, width))
    return {
        "bag_magnitude": [(a, b, bag)],
        "wave_pair": [(a, b, bag, *chosen) for chosen in pairs],
        "layer_norm_sum": [(normal((50, width)), gain, bias, EPSILON, normal((50, width)))],
        "gelu": [(3 * normal((9, width)) + normal(width),)],
        "bag_pooling": [(normal((rows, width)), bag)],
        "softmax_cross_entropy": [(5 * normal((20, width)), rng.integers(0, width, 20), 0.1)],
        "sigmoid_cross_entropy": [(5 * normal((20, width)), rng.random((20, width)) < 0.3, 0.1)],
    }


def errors_of(name, inputs, folder):
    """{dtype: (error of y, error of the gradients)} of kernels against the equation in float64 on the same numbers."""
    (forward, backward), (equation_forward, equation_backward) = both_pairs(name)
    found = {}
    for dtype in (np.float32, np.float64):
        exact = as_dtype(as_dtype(tuple(inputs), dtype), np.float64)
        y, cache = equation_forward(*exact)
        dy = as_dtype(as_dtype(random_like(np.random.default_rng(0), y), dtype), np.float64)
        expected = (y, equation_backward(dy, cache))
        with emulating(folder):
            y, cache = forward(*as_dtype(exact, dtype))
            results = as_dtype((y, backward(as_dtype(dy, dtype), cache)), np.float64)
        found[np.dtype(dtype).name] = tuple(map(distance, results, expected))
    return found


def worst_errors(folder, widths=WIDTHS):
    """{function pair: {dtype: (worst error of y, worst error of the gradients)}}."""
    worst = {}
    for width in widths:
        for name, of_pair in cases(width).items():
            for inputs in of_pair:
                for dtype, errors in errors_of(name, inputs, folder).items():
                    before = worst.setdefault(name, {}).get(dtype, (0.0, 0.0))
                    worst[name][dtype] = tuple(map(max, before, errors))
    return worst


def step_of_paper(folder):
    """(peak bytes of the arrays alive at once, {kernel: launches in a step}).

    Kernels are counted and not executed: only what is allocated matters.
    """
    batches, launches = [random_texts(BATCH, seed) for seed in range(STEPS)], Counter()
    with pytest.MonkeyPatch.context() as patch, emulated_device(folder, patch) as device, np.errstate(all="ignore"):
        device.launch = lambda file, name, *_: launches.update([name])
        tracemalloc.start()
        network = build_network(config_of("paper_residual"), VOCABULARY, 4).to("cuda")
        optimizer = AdamW(network.parameters(), weight_decay=0.01)
        for step, batch in enumerate(batches):
            launches.clear()
            update(network, optimizer, batch, random_generator(0, step, device="cuda"), 1e-3, 1.0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak, dict(launches)


def main():
    with tempfile.TemporaryDirectory() as folder:
        worst = worst_errors(Path(folder))
        rows = [(name, *(f"{e:.1e}" for errors in of.values() for e in errors)) for name, of in worst.items()]
        print(format_table(["kernels", "y, float32", "gradients", "y, float64", "gradients"], rows))
        peak, launches = step_of_paper(Path(folder))
    memory, count = f"arrays of {peak / 1e6:.0f} MB alive at once", f"{sum(launches.values())} kernels launched"
    print(f"\na step of paper with {BATCH} texts: {memory}, {count}")


if __name__ == "__main__":
    main()
