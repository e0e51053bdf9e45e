"""The least time of a training step: what it has to multiply and to move, at the speed measured on the device."""

from typing import NamedTuple

import numpy as np

from engine.arrays.ragged import RaggedBatch
from layers.networks.configs import WaveNetworkConfig
from layers.networks.wave_plan import shares_magnitude

REAL, INTEGER = 4, 8  # bytes of a float32 and of an int64


class StepLimit(NamedTuple):
    """flops, bytes: of one step. product_seconds, memory_seconds: at the device's measured rate and bandwidth."""

    flops: float
    bytes: float
    product_seconds: float
    memory_seconds: float

    @property
    def seconds(self) -> float:
        """Both terms one after the other: an engine that multiplies while it moves other data could take less."""
        return self.product_seconds + self.memory_seconds


def step_limit(flops: float, moved: float, product_rate: float, bandwidth: float) -> StepLimit:
    """The StepLimit of so many operations and bytes at FLOP/s and bytes/s."""
    return StepLimit(flops, moved, flops / product_rate, moved / bandwidth)


def text_sizes(batch: RaggedBatch) -> tuple[int, int, int]:
    """(tokens T, rows U, entries P) of a host RaggedBatch.

    Counted are all tokens, the distinct ones of the batch, and the sum over its texts of their distinct ones.
    """
    texts = np.repeat(np.arange(len(batch.offsets) - 1), np.diff(batch.offsets))
    pairs = np.unique(np.stack([texts, batch.ids]), axis=1)
    return len(batch.ids), len(np.unique(batch.ids)), pairs.shape[1]


def step_bytes(config: WaveNetworkConfig, tokens: int, rows: int, entries: int) -> int:
    """Bytes that a training step moves if no array is read or written more often than its use asks for.

    For a WaveNetworkConfig with one block and the magnitude readout; T tokens, U rows (distinct tokens of the batch),
    P entries (distinct tokens of each text), d = dimension, h = hidden. Counted:

    - activations of float32, 5 passes each: written and read forward, read again backward, their gradient written and
      read. (U, d): the embeddings and both linear variants. (P, d): what the wave norm gives, with a feed-forward layer
      also its output and what its norm gives, and for all but the modulation per dimension the readout itself. (P, h):
      before and after the activation. Where the rows of a text stay one (modulation without residual), none of them has
      P rows.
    - weights of linear maps, 11 passes each: read forward and backward; their gradient written, read for its norm and
      by the optimizer; value and both moments read and written by the optimizer.
    - rows of the embedding table, 8 passes of (U, d) beyond those above: gathered; the gradient read for its norm;
      value and both moments read and written.
    - integers of int64, 2 passes each: T token ids; P row numbers and P counts.

    Left out as small: vectors (biases, gains), everything with one row per text, the classifier. A step that fuses less
    moves more.
    """
    if config.blocks != 1 or config.readout != "magnitude":
        raise ValueError("step_bytes counts one block with the magnitude readout only")
    d, h = config.dimension, config.hidden
    alike = shares_magnitude(config)
    entries_kept = 0 if alike and not config.wave_residual else entries
    wide = 1 + (2 if h else 0) + (0 if alike else 1)
    activations = 3 * rows * d + entries_kept * (wide * d + 2 * h)
    weights = 2 * d * d + 2 * d * h
    return REAL * (5 * activations + 11 * weights + 8 * rows * d) + INTEGER * 2 * (tokens + 2 * entries)
