"""What is measured: networks, texts, and the floating-point operations of their matrix products.

Texts that look like news to a training, without a download: their lengths and how often their tokens repeat.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import random_generator
from engine.arrays.ragged import RaggedBatch
from engine.data.corpora import load_corpus
from engine.data.texts import class_names, encode_labels
from engine.data.token_cache import TokenCache
from layers.experiments.benchmark import workloads
from layers.networks import PlannedWaveNetwork as WaveNetwork
from layers.networks.configs import WaveNetworkConfig
from layers.networks.presets import PRESETS

VOCABULARY = 30_522  # rows of the embedding table: BERT's
MAX_TOKENS = 128
BATCH = 64
TWO_MAPS = {"operation": "modulation", "readout": "magnitude", "hidden": 0, "wave_residual": False, "pooling": "mean"}
NETWORKS = {
    "d768": {**TWO_MAPS, "dimension": 768},
    "d128": {**TWO_MAPS, "dimension": 128},
    "d768_interference": {**TWO_MAPS, "dimension": 768, "operation": "interference"},
    "paper": {name: value for name, value in PRESETS["paper"].items() if name in WaveNetworkConfig.fields()},
}


class Texts(NamedTuple):
    """A corpus as token ids, cut to MAX_TOKENS. classes: how many."""

    train: RaggedBatch
    test: RaggedBatch
    classes: int
    tokenizer: object


def load_texts(corpus, cache_dir=None):
    """Texts of a corpus by name; the vocabulary is learned from its training texts. UserError where it cannot be had."""
    texts = load_corpus(corpus, cache_dir)
    names = class_names(texts.train)
    cache = TokenCache(cache_dir)
    tokenizer = cache.tokenizer(texts.train.texts, VOCABULARY)
    splits = [
        RaggedBatch(*cache.encode(tokenizer, split.texts, MAX_TOKENS), encode_labels(split.labels, names, split))
        for split in (texts.train, texts.test)
    ]
    return Texts(*splits, len(names), tokenizer)


def config_of(network):
    return WaveNetworkConfig(**NETWORKS[network])


def build(network, classes):
    """A WaveNetwork of NETWORKS, the same one every time."""
    return WaveNetwork(config_of(network), VOCABULARY, classes)


def random_rows(texts, count, size=BATCH):
    """Row numbers of `count` batches of `size` texts in random order, as a training that does not look at lengths takes them."""
    rows = np.random.default_rng(0).permutation(len(texts.labels))
    return [rows[start : start + size] for start in (np.arange(count) * size) % max(1, len(rows) - size + 1)]


def texts_of_length(texts, length, count):
    """A batch of `count` texts of `length` tokens each, cut from the corpus' texts joined to one: real frequencies of tokens."""
    stream = np.resize(texts.ids, count * length)
    return RaggedBatch(stream, np.arange(count + 1, dtype=np.int64) * length, texts.labels[:count])


def product_flops(config, train):
    """Floating-point operations of the matrix products per token, were each computed for every token: multiply and add are two.

    Per weight of a linear map 2 forward, 4 backward (for its input and for itself).
    """
    weights = 2 * config.dimension**2 + 2 * config.dimension * config.hidden
    return (6 if train else 2) * weights


CLASSES = 4
LENGTH_MEAN, LENGTH_DEVIATION, SHORTEST, LONGEST = 50, 20, 12, 128


def random_texts(count, seed):
    """RaggedBatch of `count` random texts with one of four labels each; equal seeds give equal texts.

    Not AG News itself, but with lengths like its own: normal, 50 ± 20 tokens, rounded and clipped to 12 … 128. Token ids are
    those of word_ids(). Labels are drawn evenly and have nothing to do with the tokens.
    """
    rng = random_generator(seed)
    lengths = np.rint(rng.normal(LENGTH_MEAN, LENGTH_DEVIATION, count)).clip(SHORTEST, LONGEST).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = word_ids(rng, offsets[-1])
    return RaggedBatch(ids, offsets, rng.integers(0, CLASSES, count))


def word_ids(rng, count):
    """(count,) ids drawn one by one with the frequencies of words in natural text (Zipf's law).

    Id k is the word of rank k + 1 and has a probability ∝ 1/(k + 1) over the whole vocabulary.
    """
    cumulative = np.cumsum(1 / np.arange(1, workloads.VOCABULARY + 1))
    # Below 1, and the last entry is 1: the id found is always in the vocabulary.
    return np.searchsorted(cumulative / cumulative[-1], rng.random(count), side="right")
