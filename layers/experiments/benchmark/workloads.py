"""Networks and texts that are measured, and the floating-point operations of their matrix products.

The texts are those of a corpus, or random ones that look like news to a training, without a download: they have the
lengths of news, and their tokens repeat as often.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from engine.arrays.backend import random_generator
from engine.arrays.ragged import RaggedBatch, offsets_from, positions
from engine.data.corpora import load_corpus
from engine.data.encoder import Encoder
from engine.data.texts import LabelledTexts, class_names, encode_labels
from engine.data.tokenizer import train_tokenizer
from engine.data.vocabulary import Vocabulary
from engine.types import Ints1d
from layers.networks import PlannedWaveNetwork as WaveNetwork
from layers.networks.configs import WaveNetworkConfig
from layers.networks.presets import PRESETS
from layers.wave import OPERATIONS

VOCABULARY = 30_522  # rows of the embedding table: BERT's
MAX_TOKENS = 128
BATCH = 64
PAPER = {name: value for name, value in PRESETS["paper"].items() if name in WaveNetworkConfig.fields()}
TWO_MAPS = {"operation": "modulation", "readout": "magnitude", "hidden": 0, "wave_residual": False, "pooling": "mean"}
NETWORKS: dict[str, dict[str, Any]] = {
    "d768": {**TWO_MAPS, "dimension": 768},
    "d128": {**TWO_MAPS, "dimension": 128},
    "d768_interference": {**TWO_MAPS, "dimension": 768, "operation": "interference"},
    "paper": PAPER,
    "paper_interference": {**PAPER, "operation": "interference"},
    "paper_residual": {**TWO_MAPS, "dimension": 768, "hidden": 768, "wave_residual": True},
}


def further_networks() -> dict[str, dict[str, Any]]:
    """The fields of a network for each operation that NETWORKS lacks; measured where it is named."""
    known = {fields["operation"] for fields in NETWORKS.values() if "operation" in fields}
    wanted = [name for name in OPERATIONS if name not in known]
    return {f"d768_{name}": {**TWO_MAPS, "dimension": 768, "operation": name} for name in wanted}


CLASSES = 4  # of random texts
SENTENCE = 40  # tokens of a sentence of AG News, which has 1.26 of them a text
LENGTH_MEAN, LENGTH_DEVIATION, SHORTEST, LONGEST = 50, 20, 12, 128  # of random texts, in tokens


class Texts(NamedTuple):
    """A corpus as token ids, cut to MAX_TOKENS. classes: how many."""

    train: RaggedBatch
    test: RaggedBatch
    classes: int
    tokenizer: Tokenizer


def load_texts(corpus: str, cache_dir: str | Path | None = None) -> Texts:
    """Load a corpus by name; its vocabulary is learned from the training texts. UserError where it cannot be had."""
    texts = load_corpus(corpus, cache_dir)
    names = class_names(texts.train)
    tokenizer = train_tokenizer(texts.train.texts, VOCABULARY)
    encoder = Encoder(Vocabulary(tokenizer, sentences=True), MAX_TOKENS)

    def encoded(split: LabelledTexts | None) -> RaggedBatch:
        assert split is not None  # a corpus by name has both
        return encoder.encode(split.texts)._replace(labels=encode_labels(split.labels, names, split))

    return Texts(encoded(texts.train), encoded(texts.test), len(names), tokenizer)


def config_of(network: str) -> WaveNetworkConfig:
    """The config of a network of NETWORKS."""
    return WaveNetworkConfig(**{**further_networks(), **NETWORKS}[network])


def build(network: str, classes: int) -> WaveNetwork:
    """A WaveNetwork of NETWORKS with the same parameters every time."""
    return WaveNetwork(config_of(network), VOCABULARY, classes)


def random_rows(texts: RaggedBatch, count: int, size: int = BATCH) -> list[Ints1d]:
    """Row numbers of `count` batches of `size` texts in random order, whatever their lengths."""
    rows = np.random.default_rng(0).permutation(len(texts.offsets) - 1)
    return [rows[start : start + size] for start in (np.arange(count) * size) % max(1, len(rows) - size + 1)]


def texts_of_length(texts: RaggedBatch, length: int, count: int) -> RaggedBatch:
    """A batch of `count` texts of `length` tokens each, cut from all texts joined: real frequencies of tokens."""
    stream = np.resize(texts.ids, count * length)
    labels = None if texts.labels is None else texts.labels[:count]
    offsets = np.arange(count + 1, dtype=np.int64) * length
    sentences = np.flatnonzero(positions(offsets, len(stream)) % SENTENCE == 0)
    return RaggedBatch(stream, offsets, labels, np.append(sentences, len(stream)))


def product_flops(config: WaveNetworkConfig, train: bool) -> int:
    """Floating-point operations of the matrix products per token, were each computed for every token.

    Multiply and add are two: per weight of a linear map 2 forward, 4 backward (for its input and for itself).
    """
    weights = 2 * config.dimension**2 + 2 * config.dimension * config.hidden
    return (6 if train else 2) * weights


def random_texts(count: int, seed: int) -> RaggedBatch:
    """RaggedBatch of `count` random texts with one of four labels each; equal seeds give equal texts.

    Lengths are like those of AG News: normal, 50 ± 20 tokens, rounded and clipped to 12 … 128. Token ids are those of
    word_ids(). Labels are drawn evenly and have nothing to do with the tokens. Sentences end at SENTENCE tokens.
    """
    rng = random_generator(seed)
    lengths = np.rint(rng.normal(LENGTH_MEAN, LENGTH_DEVIATION, count)).clip(SHORTEST, LONGEST).astype(np.int64)
    offsets = offsets_from(lengths)
    ids = word_ids(rng, offsets[-1])
    labels = rng.integers(0, CLASSES, count)
    places = positions(offsets, len(ids))
    return RaggedBatch(ids, offsets, labels, np.union1d(offsets, np.flatnonzero(places % SENTENCE == 0)))


def word_ids(rng: np.random.Generator, count: int) -> Ints1d:
    """(count,) ids drawn one by one with the frequencies of words in natural text (Zipf's law).

    Id k is the word of rank k + 1 and has a probability ∝ 1/(k + 1) over the whole vocabulary.
    """
    cumulative = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    # Below 1, and the last entry is 1: the id found is always in the vocabulary.
    return np.searchsorted(cumulative / cumulative[-1], rng.random(count), side="right")
