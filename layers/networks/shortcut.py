"""The naive-Bayes shortcut (E25) as a part of a network: its gains, and the counts that its ratios are made of."""

from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module, to_device, to_host
from engine.arrays.bag import distinct_merged_tokens, unique_counts
from engine.arrays.ragged import RaggedBatch, row_blocks, spread
from engine.layer import Constant, Parameter
from engine.types import Array, Bools, Floats1d, Floats2d, Ints1d, Ints2d, Offsets
from layers.networks.parts import Part
from layers.standard.naive_bayes import GAIN, SCALE, log_count_ratios
from layers.standard.token_dropout import drop_tokens

BLOCK_TOKENS = 1 << 18  # of training texts that are counted at once


class DistinctTokens(NamedTuple):
    """ids: (P,) the distinct token ids of each text, ascending within it. offsets: (B + 1,)."""

    ids: Ints1d
    offsets: Offsets

    def kept(self, mask: Bools) -> "DistinctTokens":
        """The tokens where a mask (P,) is true, of the same texts."""
        xp = array_module(mask)
        before = xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(mask)])
        return DistinctTokens(self.ids[mask], before[self.offsets])


def distinct_per_text(batch: RaggedBatch, vocabulary: int) -> DistinctTokens:
    """The DistinctTokens of B texts, where those are."""
    rows, bag = distinct_merged_tokens(batch.ids, batch.offsets, vocabulary)
    return DistinctTokens(bag.entries(rows), bag.offsets)


def left_out(tokens: DistinctTokens, rate: float, rng: Any) -> DistinctTokens:
    """The tokens of those texts alone that an rng does not draw, each with the probability `rate`; None draws none."""
    if rng is None or rate == 0:
        return tokens
    stays = rng.random(len(tokens.offsets) - 1, dtype=np.float32) >= rate
    return tokens.kept(spread(stays, tokens.offsets, len(tokens.ids)))


class CountedTokens(Part):
    """The counts of labelled training texts that log-count ratios are made of, of V token ids and C classes.

    counts: (V, C + 1) int32, of the training texts that hold a token those with each label, and last all of them;
    shares: (C,) float64, of each class. Zero until learn(), and so are the ratios. Tokens without counts are in no sum.
    """

    counts: Constant
    shares: Constant

    def __init__(self, vocabulary: int, classes: int) -> None:
        self.counts = Constant(np.zeros((vocabulary, classes + 1), np.int32))
        self.shares = Constant(np.zeros(classes))

    def trained(self) -> Parameter:
        """A parameter, which says where the ratios are needed and in which dtype."""
        raise NotImplementedError

    def learn(self, texts: RaggedBatch, counted: int | None = None) -> None:
        """Count the labels of training texts on the host, which may be mapped from a file.

        counted: token ids from there on are left out; by default none.
        """
        vocabulary, columns = self.counts.value.shape
        self.counts.value, self.shares.value = count_labels(texts, vocabulary, columns - 1, counted)

    def counted(self, tokens: DistinctTokens) -> DistinctTokens:
        """Those of the tokens that have counts."""
        self.move()
        return tokens.kept(self.counts.value[tokens.ids, -1] > 0)

    def move(self) -> None:
        """Move the constants to where they are needed, once."""
        device = "cpu" if isinstance(self.trained().value, np.ndarray) else "cuda"
        for constant in (self.counts, self.shares):
            constant.value = to_device(constant.value, device)

    def ratios(self, ids: Ints1d | slice, labelled: Bools | None = None) -> Floats2d:
        """r of the tokens `ids`, (n, C). labelled: as in log_count_ratios."""
        self.move()
        shares = self.shares.value.astype(self.trained().value.real.dtype)
        return log_count_ratios(self.counts.value[ids], shares, labelled)

    def ratios_of(self, tokens: DistinctTokens, labels: Array | None) -> Floats2d:
        """r of the tokens of B texts, (P, C). labels: theirs where they are training texts, else None."""
        if labels is None:
            return self.ratios(tokens.ids)
        matrix = label_matrix(labels, len(self.shares.value))
        return self.ratios(tokens.ids, spread(matrix, tokens.offsets, len(tokens.ids)))


class NaiveBayes(CountedTokens):
    """y = g·e of V token ids and C classes (E25), g = GAIN at the start, the parameter `gains`."""

    def __init__(self, vocabulary: int, classes: int, dtype: Any = np.float32):
        self.gains = Parameter(np.full(classes, GAIN, dtype), decay=False)
        super().__init__(vocabulary, classes)

    def trained(self) -> Parameter:
        return self.gains

    def forward(self, tokens: DistinctTokens, labels: Array | None) -> tuple[Floats2d, Any]:
        """tokens: of B texts, labels: theirs where they are training texts, else None → y: (B, C), and the cache."""
        tokens = self.counted(tokens)
        ratios = self.ratios_of(tokens, labels)
        y, cache = self.functions.naive_bayes_forward(self.gains.value, ratios, tokens.offsets)
        return y, cache

    def backward(self, dy: Floats2d, cache: Any) -> None:
        """dy: (B, C). Adds to the gradient of the gains; tokens have none."""
        self.gains.accumulate(self.functions.naive_bayes_backward(dy, cache))

    def table(self) -> Floats2d:
        """(V, C): s·g·r of every token, on the host."""
        gain = to_host(self.gains.value) * SCALE
        table = np.empty((len(self.counts.value), len(gain)), gain.dtype)
        for rows in row_blocks(table):
            table[rows] = to_host(self.ratios(rows)) * gain
        return table


def label_matrix(labels: Array, classes: int) -> Bools:
    """labels: (B,) class numbers, or (B, C) → (B, C), whether a text has a label."""
    matrix: Bools = labels if labels.ndim == 2 else labels[:, None] == array_module(labels).arange(classes)
    return matrix


def count_labels(
    texts: RaggedBatch, vocabulary: int, classes: int, counted: int | None = None
) -> tuple[Ints2d, Floats1d]:
    """(counts, shares) as in NaiveBayes, of labelled texts on the host. Memory: that of the counts, and of a block."""
    if texts.labels is None:
        raise ValueError("texts: must have labels")
    counts = np.zeros((vocabulary, classes + 1), np.int32)
    cells = counts.reshape(-1)
    starts = np.searchsorted(texts.offsets, np.arange(0, max(1, texts.tokens), BLOCK_TOKENS))
    for first, end in zip(starts, [*starts[1:], texts.texts]):
        bounds = np.asarray(texts.offsets[first : end + 1])
        block = RaggedBatch(np.asarray(texts.ids[bounds[0] : bounds[-1]]), bounds - bounds[0])
        block = block if counted is None else drop_tokens(block, block.ids < counted)
        tokens = distinct_per_text(block, vocabulary)
        labelled = spread(label_matrix(np.asarray(texts.labels[first:end]), classes), tokens.offsets)
        entries, column = np.nonzero(labelled)
        rows = tokens.ids * (classes + 1)
        which, number = unique_counts(np.concatenate([rows[entries] + column, rows + classes]))
        cells[which] += number.astype(np.int32)
    sums = counts.sum(axis=0, dtype=np.float64)
    return counts, sums[:-1] / max(sums[-1], 1)
