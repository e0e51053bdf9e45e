"""Networks for words beside networks for character n-grams, in one training (config.char_heads = M > 0).

    z_k of the K heads             all tokens but character n-grams, with the shortcut (E25) if there is one
    z_m of the M character heads   all tokens, without the shortcut
    L   = (K·L_words + M·L_characters)/(K + M)          L: mean cross-entropy over the heads of a half
    p   = (K·p_words + M·p_characters)/(K + M)          p: mean probabilities of the heads of a half

Each half is a network of its own, of one head or of several (heads.py), on its own view of the same texts; only the
loss and the probabilities are shared. The halves know different things of a text and err on different ones. No
mathematics of its own: both sums are linear, so each half has the gradient of its own loss times its share.
"""

from typing import Any, NamedTuple

from engine.arrays.ragged import RaggedBatch
from engine.types import Floats, Floats2d
from layers.networks.configs import WaveNetworkConfig
from layers.networks.text_classifier import LossCache, TextClassifier, logits_of_mean
from layers.standard.token_dropout import drop_tokens


class Halves(NamedTuple):
    """Of a batch, what each half takes."""

    words: Any
    characters: Any


def configs_of_halves(config: WaveNetworkConfig) -> tuple[WaveNetworkConfig, WaveNetworkConfig]:
    """The configs of the heads and of the character heads."""
    words = config.replace(char_heads=0)
    return words, words.replace(heads=config.char_heads, shortcut="none")


class WordsAndCharacters(TextClassifier):
    """The network of a WaveNetworkConfig with character heads, from its halves.

    words, characters: networks of configs_of_halves(); ids from the last row of the table of `words` on are those of
    character n-grams.
    """

    config: WaveNetworkConfig
    embedding_table: Any = None  # each half has its own

    def __init__(self, config: WaveNetworkConfig, words: Any, characters: Any) -> None:
        self.config, self.words, self.characters = config, words, characters

    @property
    def class_weights(self) -> Floats | None:
        """Weights of the training loss, which both halves have."""
        weights: Floats | None = self.words.class_weights
        return weights

    @class_weights.setter
    def class_weights(self, weights: Floats | None) -> None:
        self.words.class_weights = self.characters.class_weights = weights

    def first_char_ngram(self) -> int:
        """The first token id of a character n-gram."""
        return len(self.words.embedding.table.value)

    def shares(self) -> tuple[float, float]:
        """The share of each half in the loss and in the probabilities."""
        words = self.config.heads / (self.config.heads + self.config.char_heads)
        return words, 1 - words

    def views(self, batch: RaggedBatch) -> Halves:
        """The batch without its character n-grams, and the batch."""
        is_word = batch.ids < self.first_char_ngram()
        return Halves(batch if is_word.all() else drop_tokens(batch, is_word)._replace(places=None), batch)

    def halves(self, batch: RaggedBatch) -> list[tuple[Any, RaggedBatch]]:
        """[(network, its view of a batch)] of both halves."""
        return list(zip((self.words, self.characters), self.views(batch)))

    def prepared(self, batch: RaggedBatch, rng: Any) -> Halves:
        """What each half prepares of its view of a batch, one after the other."""
        made = []
        for network, view in self.halves(batch):
            prepare = getattr(network, "prepared", None)
            made.append(view if prepare is None else prepare(view, rng))
        return Halves(*made)

    def loss_forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats, LossCache]:
        """batch: RaggedBatch, or what prepared() made of it → loss (0-d, nat), and a cache.

        Its logits are those of the mean probabilities, so that the largest is the decision of all heads.
        """
        halves = batch if isinstance(batch, Halves) else self.prepared(batch, rng if train else None)
        of_words, words = self.words.loss_forward(halves.words, train, rng)
        of_characters, characters = self.characters.loss_forward(halves.characters, train, rng)
        share, other = self.shares()
        p = self.mean(self.probabilities_of(words.logits), self.probabilities_of(characters.logits))
        logits = logits_of_mean(p, self.has_several_labels())
        return share * of_words + other * of_characters, LossCache((words, characters), logits, words.labels, None)

    def loss_backward(self, cache: LossCache, dloss: float = 1.0) -> None:
        words, characters = cache.network
        share, other = self.shares()
        self.words.loss_backward(words, dloss * share)
        self.characters.loss_backward(characters, dloss * other)

    def probabilities(self, batch: RaggedBatch) -> Floats2d:
        """batch: B texts, labels not needed → (B, C) class probabilities, the mean of those of all heads."""
        return self.at_temperature(self.mean(*(half.probabilities(view) for half, view in self.halves(batch))))

    def mean(self, words: Floats2d, characters: Floats2d) -> Floats2d:
        """The mean over all heads of the mean probabilities of each half, (B, C) each."""
        share, other = (words.dtype.type(part) for part in self.shares())
        p: Floats2d = share * words + other * characters
        return p

    def learn_counts(self, texts: RaggedBatch, counted: int | None = None) -> None:
        """Count the labels of all training texts for the shortcut of the heads; counted: as of a single network."""
        self.words.learn_counts(texts, self.first_char_ngram())

    def heading(self) -> str:
        count = self.config.heads + self.config.char_heads
        return (
            f"{count} networks side by side, the mean of their probabilities.\n"
            f"Without character n-grams: {self.words.heading()}\nWith them: {self.characters.heading()}"
        )
