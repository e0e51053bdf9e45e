"""Texts of about one length as blocks: each is in one of them, and nothing is lost or added on the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.bag import Bag
from engine.arrays.ragged import CACHE_BLOCK_ENTRIES
from layers.fast.text_groups import PADDING, groups_of
from tests.support.layer_laws import SEEDS, examples, offsets_of
from tests.support.random_bags import BAGS, random_bag

FORMS = st.sampled_from(BAGS)
LENGTHS = st.lists(st.one_of(st.integers(0, 3), st.integers(0, 60)), max_size=25)
COLUMNS = st.sampled_from([0, 1, 100, 1000, 4000, 50_000])  # from all texts in one block to one entry being too large
VOCABULARY = 40


def grouped(lengths, seed, form, columns):
    """(rng, number of rows, Bag, its Groups)."""
    rng = np.random.default_rng(seed)
    rows, bag = random_bag(rng, lengths, form, VOCABULARY)
    return rng, rows, bag, list(groups_of(bag, columns))


@given(LENGTHS, SEEDS, FORMS, COLUMNS)
@examples(60)
def test_every_text_is_in_one_group_and_every_entry_once(lengths, seed, form, columns):
    _, _, bag, groups = grouped(lengths, seed, form, columns)
    texts = [text for group in groups for text in group.texts]
    assert sorted(text.number for text in texts) == np.flatnonzero(np.diff(bag.offsets)).tolist()
    for text in texts:
        assert (text.rows.start, text.rows.stop) == tuple(bag.offsets[text.number : text.number + 2].tolist())
    entries = np.concatenate(
        [group.entries[... if group.filled is None else group.filled].ravel() for group in groups] or [np.zeros(0, int)]
    )
    assert sorted(entries.tolist()) == list(range(bag.offsets[-1]))


@given(LENGTHS, SEEDS, FORMS, COLUMNS)
@examples(60)
def test_a_group_holds_texts_of_about_one_length(lengths, seed, form, columns):
    _, _, bag, groups = grouped(lengths, seed, form, columns)
    counts = [[text.rows.stop - text.rows.start for text in group.texts] for group in groups]
    assert sum(counts, []) == sorted(sum(counts, []))
    for group, n in zip(groups, counts):
        assert group.entries.shape == group.row_index.shape == group.weights.shape == (len(n), max(n))
        assert (group.filled is None) == (min(n) == max(n))
        assert max(n) <= PADDING * min(n)
        assert len(n) == 1 or group.entries.size * columns <= CACHE_BLOCK_ENTRIES
    for n, following in zip(counts, counts[1:]):
        assert following[0] > PADDING * n[0] or (len(n) + 1) * following[0] * columns > CACHE_BLOCK_ENTRIES, (
            "the next text had to wait"
        )


@given(LENGTHS, SEEDS, FORMS, COLUMNS, st.sampled_from([(), (3,), (2, 2)]))
@examples(60)
def test_entries_taken_and_put_back_are_where_they_were(lengths, seed, form, columns, shape):
    rng, _, bag, groups = grouped(lengths, seed, form, columns)
    y = rng.standard_normal((int(bag.offsets[-1]), *shape))
    again = np.full_like(y, np.nan)
    for group in groups:
        block = group.rows_of_entries(y, padding=7)
        assert block.shape == (*group.entries.shape, *shape)
        if group.filled is not None:
            assert (block[~group.filled] == 7).all()
        for i, text in enumerate(group.texts):
            assert np.array_equal(text.alone(block[i]), y[text.rows])
        group.put(again, block)
    assert np.array_equal(again, y)


@given(LENGTHS, SEEDS, FORMS, COLUMNS)
@examples(60)
def test_entries_have_their_rows_and_counts_and_padding_none(lengths, seed, form, columns):
    rng, rows, bag, groups = grouped(lengths, seed, form, columns)
    x = rng.standard_normal((rows, 3))
    entries, weights = bag.entries(x), bag.weights()
    for group in groups:
        block = group.rows_of_index(x)
        for i, text in enumerate(group.texts):
            n = text.rows.stop - text.rows.start
            assert np.array_equal(block[i, :n], entries[text.rows]) and not block[i, n:].any()
            assert np.array_equal(x[text.row_index], entries[text.rows])
            assert (
                group.weights[i, :n].tolist() == text.weights.tolist() == weights[text.rows].tolist()
                and not group.weights[i, n:].any()
            )
            alone = text.bag()
            assert (
                alone.row_index is None
                and alone.counts.tolist() == weights[text.rows].tolist()
                and alone.offsets.tolist() == [0, n]
            )
            assert alone.counts.dtype == alone.offsets.dtype == np.int64
        assert group.weights.dtype == np.float64


def test_texts_of_one_length_keep_their_order():
    _, _, bag, groups = grouped(np.random.default_rng(0).integers(1, 4, 200), 0, "rows of their own", 100)
    order = [(text.rows.stop - text.rows.start, text.number) for group in groups for text in group.texts]
    assert order == sorted(order) and len(order) == 200


def test_a_single_text_is_a_view_of_its_entries():
    y = np.zeros((5, 2))
    for group in groups_of(Bag(None, None, np.array([0, 2, 2, 5])), CACHE_BLOCK_ENTRIES):
        assert len(group.texts) == 1
        group.rows_of_entries(y)[...] += 1
    assert (y == 1).all()


def test_a_block_of_several_texts_is_a_copy():
    y = np.zeros((4, 2))
    (group,) = groups_of(Bag(None, None, np.array([0, 2, 4])), 2)
    group.rows_of_entries(y)[...] += 1
    assert not y.any()


def test_padding_has_the_dtype_of_the_rows():
    (group,) = groups_of(Bag(np.array([0, 1, 2, 3, 0, 0, 1, 2, 3]), None, np.array([0, 4, 9])), 2)
    for dtype in (np.float32, np.float64):
        assert (
            group.rows_of_index(np.ones((4, 2), dtype)).dtype
            == group.rows_of_entries(np.ones((9, 2), dtype), padding=1).dtype
            == dtype
        )
    assert group.filled.tolist() == [[True] * 4 + [False], [True] * 5]
    assert group.rows_of_entries(np.ones((9, 1)))[..., 0].tolist() == [[1, 1, 1, 1, 0], [1] * 5], (
        "0 where nothing else is asked for"
    )


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0]])
def test_without_entries_there_is_no_group(lengths):
    assert list(groups_of(Bag(None, None, offsets_of(lengths)), 4)) == []


def test_equal_lengths_are_cut_only_where_the_cache_is_full():
    texts, n, columns = 64, 16, 128
    sizes = [len(group.texts) for group in groups_of(Bag(None, None, n * np.arange(texts + 1)), columns)]
    assert sizes == [CACHE_BLOCK_ENTRIES // (n * columns)] * 4
