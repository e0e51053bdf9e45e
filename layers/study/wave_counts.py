"""How the phases and magnitudes of a Wave Network's waves are distributed."""

import numpy as np

from engine.backend import to_host
from layers.networks import WaveNetwork
from layers.standard.linear import linear_forward
from layers.wave import OPERATIONS, Wave, token2wave_forward

BINS = {
    "phase": np.linspace(-np.pi, np.pi, 65).tolist(),  # radians
    "log10_magnitude": np.linspace(-5, 3, 65).tolist(),
}


def wave_counts(network, batch):
    """{"phase", "log10_magnitude"}: counts over BINS of the combined waves of the first block, of all tokens and dimensions.

    batch: RaggedBatch on the host. Magnitudes outside the bins are counted in the outermost; where both parts are 0, the phase
    counts as 0. None for a network without waves. The wave is that of E4, before the readout, without dropout.
    """
    if not isinstance(network, WaveNetwork) or not network.blocks:
        return None
    block, host = network.blocks[0], lambda parameter: to_host(parameter.value)  # noqa: E731
    x = host(network.embedding.table)[batch.ids]
    variants = (linear_forward(x, host(layer.weight), host(layer.bias))[0] for layer in (block.first_variant, block.second_variant))
    first, second = (token2wave_forward(a, batch.offsets, network.config.scope)[0] for a in variants)
    forward, _ = OPERATIONS[network.config.operation]
    return counts_of(forward(first, second)[0])


def counts_of(z: Wave):
    """The histograms of a Wave."""
    magnitude = np.hypot(z.re, z.im, dtype=np.float64)
    edges = BINS["log10_magnitude"]
    logarithm = np.log10(np.maximum(magnitude, 10.0 ** edges[0])).clip(edges[0], edges[-1])
    return {
        "phase": np.histogram(np.arctan2(z.im, z.re, dtype=np.float64), BINS["phase"])[0].tolist(),
        "log10_magnitude": np.histogram(logarithm, edges)[0].tolist(),
    }
