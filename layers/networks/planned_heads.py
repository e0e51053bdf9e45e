"""The heads of heads.py on one WavePlan, several at a time: linear maps and norms head by head, all else on (T, K·d).

E4 to E7 and E17 act on each dimension alone, so K heads of dimension d are a network of dimension K·d whose linear maps
are block-diagonal and whose layer norms act on each head. Settings of which this is not so, or of which entries are
dropped, are computed head by head.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module, blas_threads, move_together
from engine.arrays.ragged import RaggedBatch
from engine.support.ahead import ahead, cores
from engine.training.config import threads_in_force
from engine.types import Floats2d, Ints1d
from layers.fast import heads_magnitude_cpu
from layers.networks.checked_wave_network import CheckedWaveNetwork
from layers.networks.configs import WaveNetworkConfig
from layers.networks.heads import HeadsWaveNetwork, size_of
from layers.networks.heads_parts import HeadsLinear, widened
from layers.networks.parts import twin
from layers.networks.planned_wave_network import PlannedWaveNetwork
from layers.networks.shortcut import DistinctTokens
from layers.networks.wave_network import WaveBlock, WaveNetwork
from layers.networks.wave_plan import BlockPlan, WavePlan, runs_token_by_token, shares_magnitude
from layers.wave import READOUTS


def acts_on_dimensions(config: WaveNetworkConfig) -> bool:
    """Whether all but the linear maps and norms acts on each dimension alone."""
    return config.scope == "dimension" and config.position_encoding == "none" and not runs_token_by_token(config)


def drops_entries(config: WaveNetworkConfig) -> bool:
    """Whether entries are dropped in training, of each head its own."""
    return bool(config.embedding_dropout or config.dropout or config.classifier_dropout)


def is_magnitude_alone(config: WaveNetworkConfig) -> bool:
    """Whether a block is linear maps, E17 over one level, and a layer norm of the rows of texts, nothing else."""
    normed = config.block_form == "normed" and not config.wave_residual and not config.hidden
    return shares_magnitude(config) and normed and config.levels == "text" and config.variants == "embeddings"


@contextlib.contextmanager
def heads_side_by_side() -> Iterator[heads_magnitude_cpu.Each]:
    """Context: a function as map(), which computes in as many threads as the settings in force say.

    Each thread then has products of one thread: those of a head are too small for two. The bits are those of one.
    """
    threads = min(threads_in_force(), cores())
    if threads == 1:
        yield map
        return
    with blas_threads(1):
        yield lambda function, items: ahead(items, function, threads)


class BlockCache(NamedTuple):
    """The cache of a block that was computed by heads_magnitude_cpu.py."""

    waves: Any
    wave_norm: Any


class WideWaveNetwork(PlannedWaveNetwork):
    """Several heads over one table as a network of dimension K·d, on the host and without dropout of entries."""

    def block_forward(self, block: WaveBlock, x: Any, plan: BlockPlan, rng: Any) -> tuple[Floats2d, Any]:
        first, second = block.first_variant, block.second_variant
        if not is_magnitude_alone(self.config) or first is None or second is None or block.wave_norm is None:
            return super().block_forward(block, x, plan, rng)
        weight = np.concatenate([first.weight.value, second.weight.value], axis=2)
        assert first.bias is not None and second.bias is not None
        bias = np.concatenate([first.bias.value, second.bias.value], axis=1)
        with heads_side_by_side() as each:
            y, waves = heads_magnitude_cpu.forward(x, weight, bias, plan.first, each)  # E8, E17
        y, wave_norm = block.wave_norm.forward(y)  # E10
        return y, BlockCache(waves, wave_norm)

    def block_backward(self, block: WaveBlock, dy: Floats2d, cache: Any, plan: BlockPlan) -> Any:
        if not isinstance(cache, BlockCache):
            return super().block_backward(block, dy, cache, plan)
        first, second, wave_norm = block.first_variant, block.second_variant, block.wave_norm
        assert first is not None and second is not None and wave_norm is not None
        dy = wave_norm.backward(dy, cache.wave_norm)
        with heads_side_by_side() as each:
            dx, dweight, dbias = heads_magnitude_cpu.backward(dy, cache.waves, each)
        parts = (np.split(whole, 2, axis=-1) for whole in (dweight, dbias))
        for variant, own in zip((first, second), zip(*parts)):
            variant.accumulate(*map(np.ascontiguousarray, own))
        return dx


class PlannedHeadsNetwork(HeadsWaveNetwork, PlannedWaveNetwork):
    """The network of HeadsWaveNetwork, to rounding, each distinct row of all heads computed once."""

    kind = PlannedWaveNetwork

    def distinct(self, batch: Any, rng: Any) -> tuple[Ints1d, Any]:
        plan = batch if isinstance(batch, WavePlan) else self.plan(batch, rng)
        plan = move_together(plan, self.embedding.table.value)
        return plan.ids, plan._replace(ids=array_module(plan.ids).arange(len(plan.ids)))

    def shortcut_of(self, batch: Any, over_rows: Any, rng: Any) -> DistinctTokens | None:
        found: DistinctTokens | None = over_rows.distinct
        return found

    def cut(self, rows: Floats2d, rng: Any) -> list[slice]:
        alone = not isinstance(rows, np.ndarray) or not acts_on_dimensions(self.config)
        if alone or (rng is not None and drops_entries(self.config)):
            return super().cut(rows, rng)
        return [slice(0, self.config.heads)]

    def network_of(self, heads: slice, rows: Floats2d) -> WaveNetwork:
        network = super().network_of(heads, rows)
        if size_of(heads) > 1:
            network = twin(network, network.functions, WideWaveNetwork)
            widened(network)
            for block in network.blocks:
                if isinstance(block.projection, HeadsLinear):
                    block.projection.parts = READOUTS[self.config.readout].width
        return network

    def padded(self, batch: RaggedBatch, rng: Any) -> None:
        """None: CUDA graphs do not know heads."""
        return None


class CheckedHeadsNetwork(CheckedWaveNetwork, PlannedHeadsNetwork):  # type: ignore[misc]
    """The heads as CheckedWaveNetwork checks a single network."""

    planned, readable = PlannedHeadsNetwork, HeadsWaveNetwork
