"""The shapes of networks as frozen, validated dataclasses. Fields: what the papers fix and what they leave open."""

from dataclasses import dataclass

from engine.support.errors import UserError
from engine.support.settings import Settings, setting
from layers.standard.naive_bayes import SHORTCUTS
from layers.standard.pooling import POOLINGS
from layers.standard.position_encoding import POSITION_ENCODINGS
from layers.wave import OPERATIONS, READOUTS, SCOPES, WAVES

ACTIVATIONS = ("gelu", "relu")
LEVELS = {  # whose magnitudes the two branches take
    "text": ("text", "text"),
    "sentence": ("sentence", "sentence"),
    "sentence-text": ("sentence", "text"),
}
BLOCK_FORMS = ("normed", "eq8", "fig6b")
LABELS = ("one", "several")
OTHER_OPERATION = {"modulation": "interference", "interference": "modulation"}
VARIANTS = ("embeddings", "wave", "none")


@dataclass(frozen=True)
class WaveNetworkConfig(Settings):
    """The shape of a Wave Network. Vocabulary and classes come from the corpus and are no fields."""

    model: str = setting("wave", "kind of network; the other fields of this section are its own", choices=("wave",))
    dimension: int = setting(128, "length d of a token's embedding", minimum=1, maximum=1_000_000)
    blocks: int = setting(1, "number of wave blocks", minimum=0, maximum=1_000)
    heads: int = setting(
        1, "networks side by side in one training, whose probabilities are averaged", minimum=1, maximum=1_000
    )
    char_heads: int = setting(
        0,
        "further networks beside the heads, which alone take the character n-grams, and no shortcut; 0: all heads do",
        minimum=0,
        maximum=1_000,
    )
    other_heads: int = setting(
        0,
        "further networks beside the heads, of the other operation, interference or modulation",
        minimum=0,
        maximum=1_000,
    )
    linear_heads: int = setting(
        0,
        "a linear classifier beside the heads, over log-count ratios of tokens that are no character n-grams, which "
        "counts as so many of them; 0: none",
        minimum=0,
        maximum=1_000,
    )
    position_encoding: str = setting("none", "positions added to the embeddings", choices=POSITION_ENCODINGS)
    positions: int = setting(
        512, "most tokens of a text, where there is a position encoding", minimum=1, maximum=1_000_000
    )
    position_scale: float = setting(
        1.0, "factor of sinusoidal positions, standard deviation of learned ones at the start", minimum=0.0
    )
    variants: str = setting(
        "embeddings",
        "what the linear maps of the two branches act on: embeddings, or their wave; none: no maps",
        choices=VARIANTS,
    )
    levels: str = setting(
        "text", "whose magnitude the first and second branch take: that of a sentence or of the text", choices=LEVELS
    )
    wave: str = setting(
        "full", "controls: real leaves the imaginary part out, phase-free sets all phases to 0", choices=WAVES
    )
    operation: str = setting("modulation", "how the two waves are combined", choices=OPERATIONS)
    readout: str = setting("both", "how a wave is read back as real numbers", choices=READOUTS)
    scope: str = setting("dimension", "global magnitude per text and dimension, or per text", choices=SCOPES)
    block_form: str = setting(
        "normed",
        "normed: layer norm of the readout, then feed-forward; eq8: x + readout; fig6b: readout of wave + x; these two "
        "with the feed-forward behind the last block alone",
        choices=BLOCK_FORMS,
    )
    wave_residual: bool = setting(
        True, "add the block's input to the readout before the first layer norm; of block_form normed"
    )
    hidden: int = setting(
        128,
        "width of the feed-forward layer; 0 leaves feed-forward and second layer norm out",
        minimum=0,
        maximum=1_000_000,
    )
    activation: str = setting("gelu", "activation of the feed-forward layer", choices=ACTIVATIONS)
    pooling: str = setting("mean", "how the tokens of a text become one vector", choices=POOLINGS)
    embedding_scale: float = setting(1.0, "standard deviation of the initial embeddings", minimum=0.0)
    token_dropout: float = setting(
        0.0, "share of tokens left out of each training text (never the first)", minimum=0.0, below=1.0
    )
    spared_tokens: int = setting(
        0,
        "K: token_dropout is multiplied by 1 - K/n for a text of n tokens, and is 0 if n is at most K",
        minimum=0,
    )
    embedding_dropout: float = setting(0.0, "share of embedding entries dropped in training", minimum=0.0, below=1.0)
    dropout: float = setting(
        0.0, "share of the readout's and the feed-forward's entries dropped in training", minimum=0.0, below=1.0
    )
    shortcut: str = setting(
        "none",
        "what is added to the logits: naive-bayes, the log-count ratios of a text's tokens, with a gain for each class",
        choices=SHORTCUTS,
    )
    shortcut_dropout: float = setting(
        0.0, "share of the training texts that do without the shortcut", minimum=0.0, below=1.0
    )
    labels: str = setting(
        "one", "labels of a text: one, or several and none too, each with a sigmoid of its own", choices=LABELS
    )
    classifier_dropout: float = setting(0.0, "share of the pooled entries dropped in training", minimum=0.0, below=1.0)
    label_smoothing: float = setting(
        0.0, "share of the target spread over all classes, or over yes and no", minimum=0.0, below=1.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.wave != "full" and self.readout in ("imaginary", "phase"):
            raise UserError(
                f"readout: the {self.readout} of a wave without imaginary part has no gradient (wave={self.wave}); "
                "choose readout real, magnitude or both"
            )
        if self.other_heads and self.operation not in OTHER_OPERATION:
            raise UserError(
                f"other_heads: {self.operation} has no other operation; choose one of {', '.join(OTHER_OPERATION)}, "
                "or other_heads 0"
            )
        if self.is_blind():
            raise UserError(
                f"readout: the {self.readout} of the {self.operation} in scope text is one number per text, "
                "which layer norm turns into a constant: no text is told from another; choose readout both, "
                "scope dimension or wave_residual true"
            )

    def is_blind(self) -> bool:
        """Whether what a block hands on has no trace of its text: the logits are then rounding noise."""
        of_magnitudes = self.shares_magnitude() or self.wave == "phase-free" or self.is_correlated_with_itself()
        normed = self.block_form == "normed" and not self.wave_residual
        return of_magnitudes and self.scope == "text" and normed and self.readout != "both" and self.blocks > 0

    def shares_magnitude(self) -> bool:
        """Whether the readout of a block is G·G′, alike for all tokens of a sentence or text (E17)."""
        alike = OPERATIONS[self.operation].shares_magnitude and self.wave in ("full", "phase-free")
        of_waves = self.variants != "wave" and self.block_form != "fig6b"
        return alike and of_waves and self.readout == "magnitude"

    def is_correlated_with_itself(self) -> bool:
        """Whether both waves are one, Z·conj(Z) = G²."""
        first, second = LEVELS[self.levels]
        return self.operation == "correlation" and self.variants == "none" and first == second

    def network_count(self) -> int:
        """The number of networks side by side, without a linear classifier."""
        return self.heads + self.other_heads + self.char_heads

    def adds_input(self) -> bool:
        """Whether a block adds its input to what it read."""
        return self.block_form == "eq8" or (self.block_form == "normed" and self.wave_residual)

    def label(self) -> str:
        """The name by which runs of this kind are told apart in names and tables."""
        return self.operation


@dataclass(frozen=True)
class TransformerConfig(Settings):
    """The shape of a BERT-shaped Transformer. Vocabulary and classes come from the corpus and are no fields."""

    model: str = setting(
        "transformer", "kind of network; the other fields of this section are its own", choices=("transformer",)
    )
    dimension: int = setting(768, "length d of a token's embedding", minimum=1, maximum=1_000_000)
    blocks: int = setting(1, "number of Transformer blocks", minimum=0, maximum=1_000)
    heads: int = setting(12, "number of attention heads; a divisor of the dimension", minimum=1)
    hidden: int = setting(3072, "width of the feed-forward layer", minimum=1, maximum=1_000_000)
    positions: int = setting(512, "most tokens of a text that have a learned position", minimum=1, maximum=1_000_000)
    embedding_scale: float = setting(
        0.02, "standard deviation of the initial embeddings of tokens and positions", minimum=0.0
    )
    dropout: float = setting(
        0.1,
        "share of entries dropped in training: embeddings, both branches of a block, pooled",
        minimum=0.0,
        below=1.0,
    )
    labels: str = setting(
        "one", "labels of a text: one, or several and none too, each with a sigmoid of its own", choices=LABELS
    )
    norm_epsilon: float = setting(1e-12, "added to the variance in layer norms", minimum=1e-30)
    label_smoothing: float = setting(
        0.0, "share of the target spread over all classes, or over yes and no", minimum=0.0, below=1.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimension % self.heads:
            raise UserError(f"heads: expected a divisor of the dimension {self.dimension}, got {self.heads}")

    def label(self) -> str:
        """The name by which runs of this kind are told apart in names and tables."""
        return self.model
