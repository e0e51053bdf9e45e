"""The shape of a Transformer as one frozen, validated dataclass."""

from dataclasses import dataclass

from engine.errors import UserError
from engine.settings import Settings, setting


@dataclass(frozen=True)
class TransformerConfig(Settings):
    """The shape of a BERT-shaped Transformer. Vocabulary and classes come from the corpus and are no fields."""

    model: str = setting("transformer", "kind of network; the other fields of this section are its own", choices=("transformer",))
    dimension: int = setting(768, "length d of a token's embedding", minimum=1, maximum=1_000_000)
    blocks: int = setting(1, "number of Transformer blocks", minimum=0)
    heads: int = setting(12, "of the attention; a divisor of the dimension", minimum=1)
    hidden: int = setting(3072, "width of the feed-forward layer", minimum=1, maximum=1_000_000)
    positions: int = setting(512, "most tokens of a text that have a learned position", minimum=1)
    embedding_scale: float = setting(0.02, "standard deviation of the initial embeddings of tokens and positions", minimum=0.0)
    dropout: float = setting(0.1, "share of entries dropped in training: embeddings, both branches of a block, pooled", minimum=0.0, below=1.0)
    norm_epsilon: float = setting(1e-12, "added to the variance in layer norms", minimum=1e-30)
    label_smoothing: float = setting(0.0, "share of the target spread evenly over all classes", minimum=0.0, below=1.0)

    def __post_init__(self):
        super().__post_init__()
        if self.dimension % self.heads:
            raise UserError(f"heads: expected a divisor of the dimension {self.dimension}, got {self.heads}")

    def label(self):
        """What tells runs of this kind apart in names and tables."""
        return self.model
