"""A linear classifier beside the networks, in one training (config.linear_heads = L > 0).

    L = (K·L_own + L·L_linear)/(K + L)          p = (K·p_own + L·p_linear)/(K + L)

K: config.heads, with config.other_heads; character heads, which stand beside both, count as ever.
Its logits are those of E26. Where networks tell a text by the magnitudes that its tokens have together, it adds up what
each of them says alone, so that it errs on other texts; and it knows at once what a rare token says.
"""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import move_together, to_host
from engine.arrays.checks import check_ids, check_offsets
from engine.arrays.ragged import RaggedBatch, gather_rows, row_blocks
from engine.layer import Parameter, sum_rows
from engine.types import Array, Floats2d, Ints1d
from layers.networks.configs import WaveNetworkConfig
from layers.networks.shortcut import CountedTokens, DistinctTokens, distinct_per_text
from layers.networks.text_classifier import TextClassifier
from layers.networks.two_networks import TwoNetworks
from layers.standard.weighted_ratios import SCALE, START


class LinearBatch(NamedTuple):
    """The distinct tokens of the texts of a batch, and their labels."""

    tokens: DistinctTokens
    labels: Array | None


class LinearCache(NamedTuple):
    """ids: (P,), of the tokens that have counts."""

    ids: Ints1d
    ratios: Any


class WeightedRatios(CountedTokens):
    """z of E26 for V token ids and C classes; weights and bias are 0 at the start: it is naive Bayes then."""

    def __init__(self, vocabulary: int, classes: int, dtype: Any = np.float32):
        self.weights = Parameter(np.zeros((vocabulary, classes), dtype))
        self.bias = Parameter(np.zeros(classes, dtype), decay=False)
        super().__init__(vocabulary, classes)

    def trained(self) -> Parameter:
        return self.weights

    def forward(self, tokens: DistinctTokens, labels: Array | None) -> tuple[Floats2d, LinearCache]:
        """tokens: of B texts, labels: theirs where they are training texts, else None → z: (B, C), and the cache."""
        tokens = self.counted(tokens)
        ratios, weights = self.ratios_of(tokens, labels), gather_rows(self.weights.value, tokens.ids)
        z, cache = self.functions.weighted_ratios_forward(self.bias.value, weights, ratios, tokens.offsets)
        return z, LinearCache(tokens.ids, cache)

    def backward(self, dz: Floats2d, cache: LinearCache) -> None:
        """dz: (B, C). Adds to the gradients; tokens have none."""
        dbias, dweights = self.functions.weighted_ratios_backward(dz, cache.ratios)
        self.bias.accumulate(dbias)
        self.weights.accumulate(sum_rows(cache.ids, dweights))

    def table(self) -> Floats2d:
        """(V, C): r·(w₀ + s·v) of every token, on the host."""
        table = np.empty(self.weights.value.shape, self.weights.value.dtype)
        for rows in row_blocks(table):
            table[rows] = to_host(self.ratios(rows) * (START + SCALE * self.weights.value[rows]))
        return table


class LinearClassifier(TextClassifier):
    """E26 as a network of its own."""

    embedding_table: Any = None

    def __init__(self, config: WaveNetworkConfig, vocabulary: int, classes: int, dtype: Any = np.float32) -> None:
        self.config, self.ratios = config, WeightedRatios(vocabulary, classes, dtype)

    def prepared(self, batch: RaggedBatch, rng: Any) -> LinearBatch:
        """The LinearBatch of a batch, on the host; nothing is drawn. Raises ValueError for wrong ids or offsets."""
        check_ids(batch.ids, len(self.ratios.weights.value))
        check_offsets(batch.offsets, len(batch.ids))
        return LinearBatch(distinct_per_text(batch, len(self.ratios.weights.value)), batch.labels)

    def loss_forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Any, Any]:
        return super().loss_forward(batch if isinstance(batch, LinearBatch) else self.prepared(batch, rng), train, rng)

    def forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats2d, LinearCache]:
        """batch: RaggedBatch of B texts, or their LinearBatch → logits (B, C), and the cache."""
        given = batch if isinstance(batch, LinearBatch) else self.prepared(batch, rng)
        tokens, labels = move_together(given, self.ratios.weights.value)
        return self.ratios.forward(tokens, labels if train else None)

    def backward(self, dlogits: Floats2d, cache: Any) -> None:
        self.ratios.backward(dlogits, cache)

    def learn_counts(self, texts: RaggedBatch, counted: int | None = None) -> None:
        """Count the labels of all training texts; counted: token ids from there on are left out."""
        self.ratios.learn(texts, counted)

    def heading(self) -> str:
        return "Linear classifier: log-count ratios of tokens, each with a weight for each class"


class WithLinearHeads(TwoNetworks):
    """The network of a WaveNetworkConfig with linear heads. own: that of the same config without them."""

    def __init__(self, config: WaveNetworkConfig, own: Any, linear: LinearClassifier) -> None:
        self.config, self.own, self.linear = config, own, linear

    @property
    def embedding_table(self) -> Any:
        """That of the networks beside it, where they have one."""
        return self.own.embedding_table

    def networks(self) -> tuple[Any, Any]:
        return self.own, self.linear

    def counts(self) -> tuple[int, int]:
        return self.config.heads + self.config.other_heads, self.config.linear_heads

    def heading(self) -> str:
        share = self.shares()[1]
        return (
            f"A linear classifier, with {share:.0%} of the mean of probabilities, beside networks.\n"
            f"{self.own.heading()}\n{self.linear.heading()}"
        )
