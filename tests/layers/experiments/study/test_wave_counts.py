"""Histograms of phases and magnitudes, beside complex numbers by brute force."""

import cmath
import math

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from layers.experiments.study.measures import BINS, counts_of, wave_counts
from layers.networks import Transformer, TransformerConfig, WaveNetwork, WaveNetworkConfig
from layers.networks.text_classifier import example_batch
from layers.wave import Wave


def brute_force(network, batch):
    """Complex waves from the definition, number by number."""
    p = {name: parameter.value for name, parameter in network.parameters().items()}
    found = []
    for a, b in zip(batch.offsets, batch.offsets[1:]):
        x = p["embedding.table"][batch.ids[a:b]]
        waves = []
        for part in ("first_variant", "second_variant"):
            w = x @ p[f"blocks.0.{part}.weight"] + p[f"blocks.0.{part}.bias"]
            G = np.sqrt((w * w).sum(axis=0))
            waves.append(
                [
                    [cmath.rect(G[k], math.acos(max(-1, min(1, w[j, k] / G[k])))) for k in range(w.shape[1])]
                    for j in range(len(w))
                ]
            )
        first, second = (np.array(wave) for wave in waves)
        found += (first + second if network.config.operation == "interference" else first * second).ravel().tolist()
    return found


@pytest.mark.parametrize("operation", ["interference", "modulation"])
def test_counts_are_those_of_the_complex_numbers(operation):
    network = WaveNetwork(WaveNetworkConfig(dimension=5, hidden=4, operation=operation), 9, 3, 0, np.float64)
    batch = example_batch(9, 3, [4, 3, 7, 2])
    found, z = wave_counts(network, batch), brute_force(network, batch)
    assert found["phase"] == np.histogram([cmath.phase(v) for v in z], BINS["phase"])[0].tolist()
    assert (
        found["log10_magnitude"] == np.histogram([math.log10(abs(v)) for v in z], BINS["log10_magnitude"])[0].tolist()
    )
    assert sum(found["phase"]) == sum(found["log10_magnitude"]) == 16 * 5


def test_what_lies_outside_the_bins_is_counted_in_the_outermost():
    z = Wave(np.array([[0.0, 1e-30, 1e30, -1.0]]), np.array([[0.0, 0.0, 0.0, 0.0]]))
    found = counts_of(z)
    assert found["log10_magnitude"][0] == 2 and found["log10_magnitude"][-1] == 1 and sum(found["log10_magnitude"]) == 4
    assert found["phase"][-1] == 1 and found["phase"][32] == 3  # −1 has phase π; 0 and positive numbers 0
    single = counts_of(Wave(*(part.astype(np.float32) for part in z)))
    assert sum(single["phase"]) == 4 and single["phase"][-1] == 1  # float32's π lies above that of the edge


def test_networks_without_waves_have_none():
    batch = RaggedBatch(np.array([1, 2]), np.array([0, 2]), np.array([0]))
    assert wave_counts(Transformer(TransformerConfig(dimension=4, heads=2), 9, 3), batch) is None
    assert wave_counts(WaveNetwork(WaveNetworkConfig(dimension=4, blocks=0), 9, 3), batch) is None
