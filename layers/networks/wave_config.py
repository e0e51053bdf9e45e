"""What the papers fix and what they leave open about a Wave Network, as one frozen, validated dataclass."""

from dataclasses import dataclass

from engine.settings import Settings, setting
from layers.networks.feed_forward import ACTIVATIONS
from layers.standard.pooling import POOLINGS
from layers.wave import OPERATIONS, READOUTS, SCOPES


@dataclass(frozen=True)
class WaveNetworkConfig(Settings):
    """The shape of a Wave Network. Vocabulary and classes come from the corpus and are no fields."""

    model: str = setting("wave", "kind of network; the other fields of this section are its own", choices=("wave",))
    dimension: int = setting(128, "length d of a token's embedding", minimum=1, maximum=1_000_000)
    blocks: int = setting(1, "number of wave blocks", minimum=0)
    operation: str = setting("modulation", "how the two waves are combined", choices=tuple(OPERATIONS))
    readout: str = setting("both", "how a wave is read back as real numbers", choices=READOUTS)
    scope: str = setting("dimension", "global magnitude per text and dimension, or per text", choices=SCOPES)
    wave_residual: bool = setting(True, "add the block's input to the readout before the first layer norm")
    hidden: int = setting(128, "width of the feed-forward layer; 0 leaves feed-forward and second layer norm out", minimum=0, maximum=1_000_000)
    activation: str = setting("gelu", "of the feed-forward layer", choices=tuple(ACTIVATIONS))
    pooling: str = setting("mean", "one vector per text from its tokens", choices=POOLINGS)
    embedding_scale: float = setting(1.0, "standard deviation of the initial embeddings", minimum=0.0)
    token_dropout: float = setting(0.0, "share of tokens left out of each training text (never the first)", minimum=0.0, below=1.0)
    spared_tokens: int = setting(0, "K: token_dropout takes from a text of n tokens the share 1 - K/n of its own; nothing if n is at most K", minimum=0)
    embedding_dropout: float = setting(0.0, "share of embedding entries dropped in training", minimum=0.0, below=1.0)
    dropout: float = setting(0.0, "share of the readout's and the feed-forward's entries dropped in training", minimum=0.0, below=1.0)
    classifier_dropout: float = setting(0.0, "share of the pooled entries dropped in training", minimum=0.0, below=1.0)
    label_smoothing: float = setting(0.0, "share of the target spread evenly over all classes", minimum=0.0, below=1.0)

    def label(self):
        """What tells runs of this kind apart in names and tables."""
        return self.operation
