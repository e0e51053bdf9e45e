"""Figures that need no GPU: errors of the kernels by emulation, and the memory and launches of a step of `paper`.

python -m tests.support.kernel_report
"""

import tempfile
import tracemalloc
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine.arrays.backend import random_generator
from engine.support.text import format_table
from engine.training.adamw import AdamW
from engine.training.step import update
from layers import wave
from layers.experiments.benchmark.workloads import (
    VOCABULARY,
    config_of,
    random_texts,
)
from layers.networks import WaveNetwork
from layers.standard import (
    gelu,
    layer_norm,
    pooling,
    softmax_cross_entropy,
)
from tests.support.emulated_device import emulated_device
from tests.support.emulation import emulating
from tests.support.layer_laws import distance, offsets_of, random_like
from tests.support.random_bags import random_bag
from tests.support.twin_checks import as_dtype

WIDTHS, LENGTHS = (1, 31, 32, 33, 257, 768), (7, 0, 1, 300, 40)
BATCH, STEPS = 64, 4


def cases(width):
    """{kernel file: [(forward, backward, inputs), …]} of random numbers with this number of columns."""
    rng = np.random.default_rng(width)
    normal, offsets = rng.standard_normal, offsets_of(LENGTHS)
    rows, bag = random_bag(rng, LENGTHS, "merged", 60)
    a, b = normal((2, rows, width))
    of_sum = lambda x, gain, bias, residual: layer_norm.layer_norm_forward(x, gain, bias, residual=residual)  # noqa: E731
    smoothed = (
        partial(softmax_cross_entropy.softmax_cross_entropy_forward, smoothing=0.1),
        softmax_cross_entropy.softmax_cross_entropy_backward,
    )
    pairs = [
        (o, r) for o in wave.OPERATIONS for r in wave.READOUTS if (o, r) != ("modulation", "phase")
    ]  # which jumps from π to −π
    return {
        "modulated_magnitude.cu": [(wave.modulated_magnitude_forward, wave.modulated_magnitude_backward, (a, b, bag))],
        "wave_pair.cu": [(wave.wave_pair_forward, wave.wave_pair_backward, (a, b, bag, *chosen)) for chosen in pairs],
        "layer_norm.cu": [
            (of_sum, layer_norm.layer_norm_backward, (normal((50, width)), *normal((2, width)), normal((50, width))))
        ],
        "gelu.cu": [(gelu.gelu_forward, gelu.gelu_backward, (3 * normal((9, width)), normal(width)))],
        "pooling.cu": [
            (
                pooling.pooling_forward,
                pooling.pooling_backward,
                (normal((offsets[-1], width)), offsets, "mean", rng.integers(1, 5, offsets[-1])),
            )
        ],
        "softmax_cross_entropy.cu": [(*smoothed, (5 * normal((20, width)), rng.integers(0, width, 20)))],
    }


def errors_of(forward, backward, inputs, folder):
    """{dtype: (error of y, error of the gradients)} of kernels against the equations in float64 on the same numbers."""
    found = {}
    for dtype in (np.float32, np.float64):
        exact = as_dtype(as_dtype(tuple(inputs), dtype), np.float64)
        y, cache = forward(*exact)
        dy = as_dtype(as_dtype(random_like(np.random.default_rng(0), y), dtype), np.float64)
        expected = (y, backward(dy, cache))
        with emulating(folder):
            y, cache = forward(*as_dtype(exact, dtype))
            results = (y, backward(as_dtype(dy, dtype), cache))
        found[np.dtype(dtype).name] = tuple(
            distance(as_dtype(one, np.float64), other) for one, other in zip(results, expected)
        )
    return found


def worst_errors(folder, widths=WIDTHS):
    """{kernel file: {dtype: (worst error of y, worst error of the gradients)}}."""
    worst = {}
    for width in widths:
        for name, of_file in cases(width).items():
            for case in of_file:
                for dtype, errors in errors_of(*case, folder).items():
                    before = worst.setdefault(name, {}).get(dtype, (0.0, 0.0))
                    worst[name][dtype] = tuple(map(max, before, errors))
    return worst


def step_of_paper(folder):
    """(peak bytes of the arrays alive at once, {kernel: launches in a step}); arrays are allocated, no kernel runs."""
    batches, launches = [random_texts(BATCH, seed) for seed in range(STEPS)], Counter()
    with pytest.MonkeyPatch.context() as patch, emulated_device(folder, patch) as device, np.errstate(all="ignore"):
        device.launch = lambda file, name, *_: launches.update([name])
        tracemalloc.start()
        network = WaveNetwork(config_of("paper"), VOCABULARY, 4).to("cuda")
        optimizer = AdamW(network.parameters(), weight_decay=0.01)
        for step, batch in enumerate(batches):
            launches.clear()
            update(network, optimizer, batch, random_generator(0, step, device="cuda"), 1e-3, 1.0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak, dict(launches)


def main():
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            (name, *(f"{e:.1e}" for errors in of.values() for e in errors))
            for name, of in worst_errors(Path(folder)).items()
        ]
        print(format_table(["kernels", "y, float32", "gradients", "y, float64", "gradients"], rows))
        peak, launches = step_of_paper(Path(folder))
    print(
        f"\na step of paper with {BATCH} texts: arrays of {peak / 1e6:.0f} MB alive at once, "
        f"{sum(launches.values())} kernels launched"
    )


if __name__ == "__main__":
    main()
