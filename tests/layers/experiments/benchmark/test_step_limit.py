"""The bytes of a step counted by hand for small networks, and the limit that follows."""

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from layers.experiments.benchmark.parts import step_bytes, step_limit, text_sizes
from layers.networks.configs import WaveNetworkConfig

BASE = {"dimension": 2, "hidden": 3, "readout": "magnitude"}
TOKENS, ROWS, ENTRIES = 100, 10, 40
INTEGERS = 2 * 8 * (100 + 40 + 40)
TABLE = 8 * 4 * 10 * 2
TEXT_SCOPE = {"wave_residual": False, "scope": "text", "operation": "interference"}
SQUARE, FEED_FORWARD = 11 * 4 * 2 * (2 * 2), 11 * 4 * 2 * (2 * 3)  # two maps of each


@pytest.mark.parametrize("fields, activations, weights", [
    # (rows, 2): embeddings and two variants. (entries, 2): three norms and sums. (entries, 3): around the activation.
    ({}, 3 * 10 * 2 + 3 * 40 * 2 + 2 * 40 * 3, SQUARE + FEED_FORWARD),
    ({"operation": "interference"}, 3 * 10 * 2 + 4 * 40 * 2 + 2 * 40 * 3, SQUARE + FEED_FORWARD),
    ({"hidden": 0}, 3 * 10 * 2 + 40 * 2, SQUARE),
    ({"wave_residual": False}, 3 * 10 * 2, SQUARE + FEED_FORWARD),
    ({**TEXT_SCOPE, "hidden": 0}, 3 * 10 * 2 + 2 * 40 * 2, SQUARE),
])  # fmt: skip
def test_bytes_of_a_step_by_hand(fields, activations, weights):
    config = WaveNetworkConfig(**{**BASE, **fields})
    assert step_bytes(config, TOKENS, ROWS, ENTRIES) == 5 * 4 * activations + weights + TABLE + INTEGERS


@pytest.mark.parametrize("fields", [{"blocks": 2}, {"readout": "both"}])
def test_what_is_not_counted_is_refused(fields):
    with pytest.raises(ValueError, match="one block with the magnitude readout"):
        step_bytes(WaveNetworkConfig(**{**BASE, **fields}), 1, 1, 1)


def test_sizes_of_texts_tell_tokens_rows_and_entries():
    batch = RaggedBatch(np.array([5, 5, 2, 2, 5, 9]), np.array([0, 3, 3, 6]))
    assert text_sizes(batch) == (6, 3, 2 + 3)


def test_the_limit_is_the_sum_of_both_terms():
    limit = step_limit(flops=6e9, moved=4e6, product_rate=3e12, bandwidth=2e9)
    assert limit[:2] == (6e9, 4e6)
    assert (
        limit.product_seconds == pytest.approx(2e-3)
        and limit.memory_seconds == pytest.approx(2e-3)
        and limit.seconds == pytest.approx(4e-3)
    )
