"""Laws of batches: nothing lost, nothing twice, nothing but the seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.ragged import RaggedBatch
from engine.data.batching import epoch_batches, ordered_batches, split_validation, take
from engine.support.errors import UserError
from tests.support.examples import examples

COUNTS = st.lists(st.integers(0, 30), max_size=60)


def offsets_of(counts):
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


def ragged(counts):
    offsets = offsets_of(counts)
    return RaggedBatch(np.arange(offsets[-1], dtype=np.int32), offsets, np.arange(len(counts)) * 10)


@examples(100)
@given(st.data(), COUNTS)
def test_take_gathers_the_texts_in_the_order_asked_for(data, counts):
    batch = ragged(counts)
    rows = np.array(
        data.draw(st.lists(st.integers(-len(counts), len(counts) - 1), max_size=9)) if counts else [], np.int64
    )
    taken = take(batch, rows)
    texts = [batch.ids[batch.offsets[row] : batch.offsets[row + 1]] for row in rows % max(1, len(counts))]
    assert np.array_equal(taken.ids, np.concatenate([*texts, np.zeros(0, np.int32)]))
    assert np.array_equal(taken.offsets, offsets_of([len(text) for text in texts]))
    assert np.array_equal(taken.labels, rows % max(1, len(counts)) * 10)
    assert (taken.ids.dtype, taken.offsets.dtype) == (np.int32, np.int64)


@examples(100)
@given(st.data(), st.lists(st.lists(st.integers(1, 5), max_size=4), max_size=12))
def test_take_keeps_the_sentences_of_each_text(data, sentences):
    """Take keeps the sentences of each text, some of which have none and no tokens."""
    batch = ragged([sum(text) for text in sentences])._replace(
        sentence_offsets=offsets_of([count for text in sentences for count in text])
    )
    rows = data.draw(st.lists(st.integers(-len(sentences), len(sentences) - 1), max_size=9)) if sentences else []
    taken = take(batch, np.array(rows, np.int64)).sentence_offsets
    assert (
        taken.dtype == np.int64 and taken.tolist() == offsets_of([n for row in rows for n in sentences[row]]).tolist()
    )


def test_take_without_labels_and_beyond_the_end():
    batch = ragged([2, 3])
    assert take(batch._replace(labels=None), np.array([1])).labels is None
    assert take(batch, np.array([1])).sentence_offsets is None
    with pytest.raises(IndexError):
        take(batch, np.array([2]))


@examples(100)
@given(COUNTS, st.integers(1, 9), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_holds_every_row_once(counts, batch_size, seed, epoch):
    """An epoch holds every row once and depends on seed and epoch alone."""
    offsets = offsets_of(counts)
    batches = epoch_batches(offsets, batch_size, seed, epoch)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(counts)))
    assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)
    again = epoch_batches(offsets, batch_size, seed, epoch)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again))


def test_epochs_differ_and_lengths_are_alike_within_a_batch():
    """Epochs and seeds differ and lengths are alike within a batch."""
    counts = np.random.default_rng(0).integers(1, 500, 1000)
    offsets = offsets_of(counts)
    first, second, other = (epoch_batches(offsets, 20, *key) for key in ((1, 0), (1, 1), (2, 0)))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    assert not np.array_equal(np.concatenate(first), np.concatenate(other))
    assert np.mean([np.ptp(counts[batch]) for batch in first]) < 30
    means = [counts[batch].mean() for batch in first]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5  # batches come shuffled, not by length


@examples(100)
@given(COUNTS, st.integers(1, 9), st.integers(1, 60))
def test_evaluation_batches_are_a_permutation_within_both_limits(counts, batch_size, token_limit):
    batches = ordered_batches(offsets_of(counts), batch_size, token_limit)
    rows = np.concatenate([*batches, np.zeros(0, np.int64)])
    assert sorted(rows.tolist()) == list(range(len(counts)))
    lengths = np.array(counts, np.int64)[rows]
    assert (np.diff(lengths) >= 0).all()
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert len(batch) == 1 or sum(counts[row] for row in batch) <= token_limit
    # No batch could have taken in the first text of the next.
    for batch, following in zip(batches, batches[1:]):
        assert len(batch) == batch_size or sum(counts[row] for row in [*batch, following[0]]) > token_limit


@examples(100)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.floats(0, 0.99), st.integers(0, 3))
def test_a_validation_split_is_stratified_and_repeatable(labels, fraction, seed):
    labels = np.array(labels)
    try:
        train, validation = split_validation(labels, fraction, seed)
    except UserError:
        assert all(n == 1 or n * fraction < 0.5 for n in np.bincount(labels) if n)
        return
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
    for name in np.unique(labels):
        count, given_away = (labels == name).sum(), (labels[validation] == name).sum()
        assert given_away <= count - 1 and (abs(given_away - fraction * count) <= 0.5 or given_away == count - 1)
    assert np.array_equal(split_validation(labels, fraction, seed)[1], validation)


def test_a_validation_split_depends_on_the_seed():
    labels = np.zeros(100, np.int64)
    assert not np.array_equal(split_validation(labels, 0.1, 0)[1], split_validation(labels, 0.1, 1)[1])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="batch_size: must be at least 1, got 0"):
        epoch_batches(offsets_of([1]), 0, 0, 0)
    with pytest.raises(ValueError, match="batch_size"):
        ordered_batches(offsets_of([1]), 0)
    with pytest.raises(ValueError, match=r"fraction: must lie in \[0, 1\), got 1"):
        split_validation([0, 0], 1, 0)
    with pytest.raises(UserError, match="leaves no text for validation"):
        split_validation([0, 1], 0.5, 0)
