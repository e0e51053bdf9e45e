"""Texts as bags of distinct tokens, beside the tokens one by one."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import bag_sums as bag_sums_module
from engine.arrays.bag import Bag, distinct_tokens, merge_repeats, one_text, sum_entries, unique_counts
from engine.arrays.bag_sums import bag_sums, count_matrix
from tests.support.examples import examples

SEEDS = st.integers(0, 2**32 - 1)
VOCABULARY = 6  # small: nearly every text repeats a token
TEXTS = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=8), max_size=6)  # empty texts and empty batches too


def flat(texts):
    """(ids (T,), offsets (B + 1,)) of lists of token ids."""
    ids = np.array([token for text in texts for token in text], np.int64)
    return ids, np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)


def merged_bag(texts):
    """(rows, Bag) with equal tokens of a text merged."""
    rows, bag = distinct_tokens(*flat(texts), VOCABULARY)
    return rows, merge_repeats(bag, len(rows))


def any_bag(texts, kind):
    """(ids of the rows, Bag) in one of the forms that a network makes."""
    ids, offsets = flat(texts)
    rows, bag = distinct_tokens(ids, offsets, VOCABULARY)
    if kind == "rows of their own":
        return ids, Bag(None, None, offsets)
    if kind == "repeated rows":
        return rows, bag
    bag = merge_repeats(bag, len(rows))
    return (rows, bag) if kind == "merged" else (rows[bag.row_index], bag._replace(row_index=None))


KINDS = ("rows of their own", "repeated rows", "merged", "merged, rows of their own")
every_kind = pytest.mark.parametrize("kind", KINDS)


def pieces(values, offsets):
    """The lists of values of each text."""
    return [values[a:b].tolist() for a, b in zip(offsets, offsets[1:])]


# --- what a bag stands for ---------------------------------------------------------------------------------------


@examples(40)
@given(TEXTS)
def test_distinct_tokens_are_in_order_and_tokens_find_them(texts):
    ids, offsets = flat(texts)
    rows, bag = distinct_tokens(ids, offsets, VOCABULARY)
    assert rows.tolist() == sorted(set(ids.tolist())) and rows.dtype == bag.row_index.dtype == np.int64
    assert bag.entries(rows).tolist() == ids.tolist()
    assert bag.counts is None and bag.offsets is offsets


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.int64])
def test_token_ids_may_have_any_integer_dtype(dtype):
    rows, bag = distinct_tokens(np.array([5, 2, 5], dtype), np.array([0, 3]), VOCABULARY)
    assert rows.tolist() == [2, 5] and bag.row_index.tolist() == [1, 0, 1]


@examples(40)
@given(TEXTS)
def test_merging_keeps_every_text_and_counts_its_tokens(texts):
    rows, bag = merged_bag(texts)
    assert len(bag.offsets) == len(texts) + 1 and bag.offsets[0] == 0
    assert bag.offsets[-1] == len(bag.row_index) == len(bag.counts)
    assert {part.dtype for part in bag[:3]} == {np.dtype(np.int64)}
    of_texts = pieces(bag.row_index, bag.offsets), pieces(bag.counts, bag.offsets)
    for text, row_index, counts in zip(texts, *of_texts, strict=True):
        assert row_index == sorted(set(row_index)), "they ascend, none twice"
        assert Counter(dict(zip(rows[row_index].tolist(), counts))) == Counter(text)


@examples(40)
@given(st.lists(st.integers(-3, 3), max_size=9), st.sampled_from([np.int32, np.int64]))
def test_different_integers_are_counted(keys, dtype):
    values, counts = unique_counts(np.array(keys, dtype))
    assert list(zip(values.tolist(), counts.tolist())) == sorted(Counter(keys).items()) and counts.dtype == np.int64


@examples(40)
@given(st.lists(st.integers(0, VOCABULARY - 1), max_size=8), st.sampled_from([np.int32, np.int64]))
def test_one_text_is_planned_as_any_batch(text, dtype):
    """Its entries are its rows."""
    rows, bag = one_text(np.array(text, dtype))
    expected_rows, expected = merged_bag([text])
    assert rows.dtype == np.int64 and np.array_equal(rows, expected_rows) and bag.row_index is None
    assert np.array_equal(expected.row_index, np.arange(len(rows)))
    assert np.array_equal(bag.counts, expected.counts) and np.array_equal(bag.offsets, expected.offsets)
    assert np.array_equal(count_matrix(bag, len(rows)), count_matrix(expected, len(rows)))
    assert np.array_equal(bag.text_lengths(), [len(text)])


@every_kind
@examples(40)
@given(texts=TEXTS)
def test_expanded_a_text_has_its_tokens_again(kind, texts):
    ids, bag = any_bag(texts, kind)
    entry, first, offsets = bag.expand()
    assert offsets.tolist() == flat(texts)[1].tolist()
    assert [Counter(found) for found in pieces(bag.entries(ids)[entry], offsets)] == [Counter(text) for text in texts]
    assert entry.tolist() == sorted(entry.tolist()), "equal tokens stand together"
    assert first.tolist() == [entry.tolist().index(e) for e in range(len(first))] and len(first) == bag.offsets[-1]


@every_kind
@examples(40)
@given(texts=TEXTS)
def test_lengths_count_repeated_tokens(kind, texts):
    _, bag = any_bag(texts, kind)
    assert bag.text_lengths().tolist() == [len(text) for text in texts]
    assert bag.text_lengths().dtype == np.int64
    assert [sum(weights) for weights in pieces(bag.weights(), bag.offsets)] == [len(text) for text in texts]


@every_kind
@examples(40)
@given(texts=TEXTS)
def test_collapsed_texts_have_one_entry_and_keep_their_lengths(kind, texts):
    bag = any_bag(texts, kind)[1].collapsed()
    filled = [t for t, text in enumerate(texts) if text]
    rows = np.arange(len(texts)) if bag.row_index is None else bag.row_index
    assert rows.tolist() == filled and bag.counts.tolist() == [len(texts[t]) for t in filled]
    assert np.diff(bag.offsets).tolist() == [int(len(text) > 0) for text in texts]
    assert bag.text_lengths().tolist() == [len(text) for text in texts]


def test_without_row_index_entries_are_the_rows_themselves():
    x = np.ones((2, 3))
    assert Bag(None, None, np.array([0, 2])).entries(x) is x
    assert Bag(np.array([1, 1, 0]), None, np.array([0, 3])).entries(np.array([5, 6])).tolist() == [6, 6, 5]


# --- sums over entries -------------------------------------------------------------------------------------------


@every_kind
@examples(40)
@given(texts=TEXTS, seed=SEEDS)
def test_rows_receive_what_their_entries_hand_back(kind, texts, seed):
    ids, bag = any_bag(texts, kind)
    y = np.random.default_rng(seed).standard_normal((int(bag.offsets[-1]), 2))
    expected = np.zeros((len(ids), 2))
    np.add.at(expected, np.arange(len(y)) if bag.row_index is None else bag.row_index, y)
    np.testing.assert_allclose(sum_entries(y, bag, len(ids)), expected, rtol=0, atol=1e-14)


def test_rows_without_an_entry_receive_nothing():
    sums = sum_entries(np.ones((2, 1)), Bag(np.array([3, 3]), None, np.array([0, 2])), 5)
    assert sums.ravel().tolist() == [0, 0, 0, 2, 0]


def test_sums_are_added_to_an_array_that_stays_as_it_is():
    y, bag, accumulate = np.ones((2, 1)), Bag(np.array([1, 1]), None, np.array([0, 2])), np.full((3, 1), 10.0)
    assert sum_entries(y, bag, 3, accumulate).ravel().tolist() == [10, 12, 10]
    assert sum_entries(y, bag.per_entry(), 2, accumulate[:2]).ravel().tolist() == [11, 11]
    assert (accumulate == 10).all()


def test_float32_entries_of_a_row_are_summed_in_float64():
    y = np.array([[1e8], *[[0.5]] * 8, [-1e8]], np.float32)
    x = sum_entries(y, Bag(np.zeros(10, np.int64), None, np.array([0, 10])), 1)
    assert x.dtype == np.float32 and x.tolist() == [[4.0]]


@every_kind
@examples(40)
@given(texts=TEXTS)
def test_the_count_matrix_says_how_often_a_row_stands_in_a_text(kind, texts):
    ids, bag = any_bag(texts, kind)
    counts = count_matrix(bag, len(ids))
    assert counts.shape == (len(texts), len(ids)) and counts.dtype == np.float64
    expected = np.zeros(counts.shape)
    row_index, weights = (np.arange(len(ids)) if bag.row_index is None else bag.row_index), bag.weights()
    for t, (start, stop) in enumerate(zip(bag.offsets, bag.offsets[1:])):
        for p in range(start, stop):
            expected[t, row_index[p]] += weights[p]
    assert np.array_equal(counts, expected)
    words = np.array(ids)[None] == np.arange(VOCABULARY)[:, None]
    assert (counts @ words.T).tolist() == [[text.count(v) for v in range(VOCABULARY)] for text in texts]


def test_a_count_matrix_has_columns_for_rows_that_stand_nowhere():
    counts = count_matrix(Bag(np.array([1, 0, 1]), np.array([2, 1, 3]), np.array([0, 2, 2, 3])), 4)
    assert counts.tolist() == [[1, 2, 0, 0], [0] * 4, [0, 3, 0, 0]]


@pytest.mark.parametrize("entries", [1, 1000])
@every_kind
@examples(40)
@given(texts=TEXTS)
def test_bag_sums_are_products_with_the_count_matrix(kind, entries, texts):
    """Groups with C, the sources of rows with C transposed, whatever the size of groups and pieces."""
    ids, bag = any_bag(texts, kind)
    U = len(ids) + 1  # the last row stands nowhere
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("GROUP_TEXTS", 2), ("GROUP_ENTRIES", entries), ("SHARED_TEXTS", 3)):
            patch.setattr(bag_sums_module, name, value)
        groups, rows = bag_sums(bag, U, 1)
    counts, x, h = count_matrix(bag, U), np.arange(1.0, U + 1), np.arange(1.0, len(texts) + 1)
    of_texts = np.zeros(len(texts))
    for group in groups:
        assert len(group.texts) <= 2
        of_texts[group.texts] = (group.weights @ x[group.rows][..., None])[:, 0, 0]
    assert np.array_equal(of_texts, counts @ x)
    shared = np.zeros(rows.shared)
    for piece in rows.pieces:
        assert len(piece.counts) <= 3
        shared[piece.shared] += piece.counts.T @ h[piece.texts()]
    assert np.array_equal(np.concatenate([h, shared, [0]])[rows.source], counts.T @ h)


@pytest.mark.parametrize("texts", [64, 1024])
def test_bag_sums_grow_with_the_entries_alone(texts):
    """At most the texts of a piece for each entry, however many texts and rows there are."""
    ids = np.random.default_rng(0).integers(0, 16 * texts, 16 * texts)
    rows, bag = distinct_tokens(ids, np.arange(texts + 1) * 16, 16 * texts)
    bag = merge_repeats(bag, len(rows))
    sums, P = bag_sums(bag, len(rows), 64), bag.entry_count()
    assert sum(piece.counts.size for piece in sums.rows.pieces) <= bag_sums_module.SHARED_TEXTS * P
    assert sum(group.rows.size for group in sums.groups) <= 1.5 * P


# --- nothing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("texts", [[], [[]], [[], [], []]])
@every_kind
def test_batches_without_texts_or_tokens_stay_so(kind, texts):
    ids, bag = any_bag(texts, kind)
    entry, first, offsets = bag.expand()
    assert len(ids) == len(entry) == len(first) == 0
    assert offsets.tolist() == bag.offsets.tolist() == [0] * (len(texts) + 1)
    assert count_matrix(bag, 0).shape == (len(texts), 0)
    assert sum_entries(np.zeros((0, 3)), bag, 4).shape == ((4, 3) if bag.row_index is not None else (0, 3))
    assert bag.collapsed().offsets.tolist() == [0] * (len(texts) + 1)
