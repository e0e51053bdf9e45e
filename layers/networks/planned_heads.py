"""The heads of heads.py on one WavePlan, several at a time: linear maps and norms head by head, all else on (T, K·d).

E4 to E7 and E17 act on each dimension alone, so K heads of dimension d are a network of dimension K·d whose linear maps
are block-diagonal and whose layer norms act on each head. Settings of which this is not so, or of which entries are
dropped, are computed head by head.
"""

from typing import Any

from engine.arrays.backend import array_module, move_together
from engine.arrays.ragged import RaggedBatch
from engine.cuda.kernels import uses_kernels
from engine.types import Floats2d, Ints1d
from layers.networks.checked_wave_network import CheckedWaveNetwork
from layers.networks.configs import WaveNetworkConfig
from layers.networks.heads import HeadsWaveNetwork, size_of
from layers.networks.heads_parts import HeadsLinear, widened
from layers.networks.planned_wave_network import PlannedWaveNetwork
from layers.networks.wave_network import WaveNetwork
from layers.networks.wave_plan import WavePlan, runs_token_by_token
from layers.wave import READOUTS


def acts_on_dimensions(config: WaveNetworkConfig) -> bool:
    """Whether all but the linear maps and norms acts on each dimension alone."""
    return config.scope == "dimension" and config.position_encoding == "none" and not runs_token_by_token(config)


def drops_entries(config: WaveNetworkConfig) -> bool:
    """Whether entries are dropped in training, of each head its own."""
    return bool(config.embedding_dropout or config.dropout or config.classifier_dropout)


class PlannedHeadsNetwork(HeadsWaveNetwork, PlannedWaveNetwork):
    """The network of HeadsWaveNetwork, to rounding, each distinct row of all heads computed once."""

    kind = PlannedWaveNetwork

    def distinct(self, batch: Any, rng: Any) -> tuple[Ints1d, Any]:
        plan = batch if isinstance(batch, WavePlan) else self.plan(batch, rng)
        plan = move_together(plan, self.embedding.table.value)
        return plan.ids, plan._replace(ids=array_module(plan.ids).arange(len(plan.ids)))

    def cut(self, rows: Floats2d, rng: Any) -> list[slice]:
        alone = uses_kernels(rows) or not acts_on_dimensions(self.config)
        if alone or (rng is not None and drops_entries(self.config)):
            return super().cut(rows, rng)
        return [slice(0, self.config.heads)]

    def network_of(self, heads: slice, rows: Floats2d) -> WaveNetwork:
        network = super().network_of(heads, rows)
        if size_of(heads) > 1:
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
