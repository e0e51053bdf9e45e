"""Texts that look like news to a training, without a download: their lengths and how often their tokens repeat."""

import numpy as np

from engine.backend import random_generator
from engine.ragged import RaggedBatch
from layers.benchmark import workloads

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
