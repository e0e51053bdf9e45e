"""Networks for words beside networks for character n-grams, in one training (config.char_heads = M > 0).

    z_k of K heads                   all tokens but character n-grams, with the shortcut (E25) if there is one
    z_m of the M character heads     all tokens, without the shortcut
    L   = (K·L_words + M·L_characters)/(K + M)          L: mean cross-entropy over the heads of a half
    p   = (K·p_words + M·p_characters)/(K + M)          p: mean probabilities of the heads of a half

K: config.heads, with config.other_heads and config.linear_heads.
The halves know different things of a text and err on different ones.
"""

from typing import Any

from engine.arrays.ragged import RaggedBatch
from layers.networks.configs import WaveNetworkConfig
from layers.networks.two_networks import TwoNetworks, Views
from layers.standard.token_dropout import drop_tokens


def configs_of_halves(config: WaveNetworkConfig) -> tuple[WaveNetworkConfig, WaveNetworkConfig]:
    """The configs of the heads and of the character heads."""
    words = config.replace(char_heads=0)
    return words, words.replace(heads=config.char_heads, other_heads=0, linear_heads=0, shortcut="none")


class WordsAndCharacters(TwoNetworks):
    """The network of a WaveNetworkConfig with character heads, from its halves.

    words, characters: networks of configs_of_halves(); first_char_ngram: the first token id of a character n-gram.
    """

    def __init__(self, config: WaveNetworkConfig, words: Any, characters: Any, first_char_ngram: int) -> None:
        self.config, self.words, self.characters, self.first_char_ngram = config, words, characters, first_char_ngram

    def networks(self) -> tuple[Any, Any]:
        return self.words, self.characters

    def counts(self) -> tuple[int, int]:
        config = self.config
        return config.heads + config.other_heads + config.linear_heads, config.char_heads

    def views(self, batch: RaggedBatch) -> Views:
        """The batch without its character n-grams, and the batch."""
        is_word = batch.ids < self.first_char_ngram
        return Views(batch if is_word.all() else drop_tokens(batch, is_word)._replace(places=None), batch)

    def learn_counts(self, texts: RaggedBatch, counted: int | None = None) -> None:
        """Count the labels of all training texts for the shortcut of the heads; counted: as of a single network."""
        self.words.learn_counts(texts, self.first_char_ngram)

    def heading(self) -> str:
        return (
            f"{self.config.network_count()} networks side by side, the mean of their probabilities.\n"
            f"Without character n-grams: {self.words.heading()}\nWith them: {self.characters.heading()}"
        )
