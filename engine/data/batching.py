"""Batches: which texts come together, and gathering them from the flat array."""

import numpy as np

from engine.arrays.backend import random_generator
from engine.arrays.ragged import RaggedBatch, lengths, offsets_from
from engine.data.growing import gathered
from engine.support.errors import UserError
from engine.types import Ints1d, Offsets

BUCKET_BATCHES = 50
EVALUATION_TOKENS = 65_536
# First integers of the random streams, so that no other purpose draws the same numbers from the same seed.
SHUFFLE_STREAM = 101
SPLIT_STREAM = 102


def take(batch: RaggedBatch, rows: Ints1d) -> RaggedBatch:
    """The texts of the given row numbers (B,), in that order, as a new RaggedBatch (host arrays)."""
    starts, counts = batch.offsets[:-1][rows], lengths(batch.offsets)[rows]
    offsets, tokens = gathered(starts, counts)
    return RaggedBatch(
        batch.ids[tokens],
        offsets,
        None if batch.labels is None else batch.labels[rows],
        None if batch.sentence_offsets is None else sentences_within(batch.sentence_offsets, starts, starts + counts),
    )


def sentences_within(sentence_offsets: Offsets, starts: Ints1d, ends: Ints1d) -> Offsets:
    """The sentence offsets of texts put one after the other. Text b owns the old tokens starts[b] … ends[b] − 1."""
    first, last = (np.searchsorted(sentence_offsets, bounds) for bounds in (starts, ends))
    _, sentences = gathered(first, last - first)
    return offsets_from(sentence_offsets[sentences + 1] - sentence_offsets[sentences])


def epoch_batches(offsets: Offsets, batch_size: int, seed: int, epoch: int) -> list[Ints1d]:
    """Row numbers of the batches of one epoch: a list of int64 arrays that together hold every row once.

    Texts of similar length share a batch, so that no batch is long because of one text: rows are shuffled, cut into
    buckets of BUCKET_BATCHES batches, sorted by length within each, cut into batches, and the batches shuffled.
    Depends on nothing but its arguments. The smaller batch that the division may leave over is kept.
    """
    check_batch_size(batch_size)
    generator = random_generator(seed, SHUFFLE_STREAM, epoch)
    rows = generator.permutation(len(offsets) - 1)
    count = lengths(offsets)
    batches: list[Ints1d] = []
    for bucket in cut(rows, batch_size * BUCKET_BATCHES):
        batches += cut(bucket[np.argsort(count[bucket], kind="stable")], batch_size)
    return [batches[index] for index in generator.permutation(len(batches))]


def ordered_batches(offsets: Offsets, batch_size: int, token_limit: int = EVALUATION_TOKENS) -> list[Ints1d]:
    """Row numbers of batches for evaluation, shortest texts first: their concatenation is a permutation of all rows.

    A batch holds at most batch_size texts and token_limit tokens; a text that is longer is a batch of its own.
    """
    check_batch_size(batch_size)
    count = lengths(offsets)
    rows = np.argsort(count, kind="stable")
    tokens = offsets_from(count[rows])
    batches: list[Ints1d] = []
    start = 0
    while start < len(rows):
        within_limit = int(np.searchsorted(tokens, tokens[start] + token_limit, side="right")) - 1
        stop = max(start + 1, min(start + batch_size, within_limit))
        batches.append(rows[start:stop])
        start = stop
    return batches


def split_validation(labels: Ints1d, fraction: float, seed: int) -> tuple[Ints1d, Ints1d]:
    """Split rows by class: (train_rows, validation_rows), int64, each ascending. labels: (B,) class numbers.

    Each class gives the fraction of its rows, rounded, to validation and keeps at least one for training.
    Raises UserError when no class has rows enough to give one.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction: must lie in [0, 1), got {fraction}")
    labels = np.asarray(labels)
    order = random_generator(seed, SPLIT_STREAM).permutation(len(labels))
    is_validation = np.zeros(len(labels), bool)
    for name in np.unique(labels):
        rows = order[labels[order] == name]
        is_validation[rows[: min(int(len(rows) * fraction + 0.5), len(rows) - 1)]] = True
    if fraction and not is_validation.any():
        raise UserError(
            f"a validation fraction of {fraction} of {len(labels)} training texts leaves no text for validation; "
            "raise validation_fraction (--set) or give a --validation-file"
        )
    return np.flatnonzero(~is_validation), np.flatnonzero(is_validation)


def cut(rows: Ints1d, size: int) -> list[Ints1d]:
    """Consecutive pieces of at most `size` rows."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size: must be at least 1, got {batch_size}")
