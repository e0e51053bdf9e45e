"""Texts have the lengths and the frequencies of tokens that their docstrings promise."""

import numpy as np

from layers.experiments.benchmark import workloads
from layers.experiments.benchmark.workloads import CLASSES, random_texts


def test_lengths_are_those_of_news():
    texts = random_texts(4000, seed=1)
    lengths = np.diff(texts.offsets)
    assert lengths.min() == 12 and 100 < lengths.max() <= 128
    assert abs(lengths.mean() - 50) < 1.5 and abs(lengths.std() - 20) < 1
    assert set(texts.labels.tolist()) == set(range(CLASSES)) and len(texts.labels) == 4000


def test_tokens_follow_zipfs_law_over_the_whole_vocabulary():
    ids = random_texts(4000, seed=1).ids
    counts = np.bincount(ids)
    assert 0 <= ids.min() and len(counts) <= workloads.VOCABULARY and ids.max() > 0.99 * workloads.VOCABULARY
    harmonic = (1 / np.arange(1, workloads.VOCABULARY + 1)).sum()
    for rank in (1, 2, 10, 50):
        expected = len(ids) / (rank * harmonic)
        assert abs(counts[rank - 1] - expected) < 5 * np.sqrt(expected)


def test_equal_seeds_give_equal_texts(monkeypatch):
    first, again, other = random_texts(9, 3), random_texts(9, 3), random_texts(9, 4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first.ids[:50], other.ids[:50])
    monkeypatch.setattr(workloads, "VOCABULARY", 7)
    assert set(random_texts(200, 0).ids.tolist()) == set(range(7))


def test_texts_of_a_length_have_the_tokens_of_the_corpus(small):
    texts = small.load_texts("r8").train
    batch = workloads.texts_of_length(texts, 50, 7)
    assert np.diff(batch.offsets).tolist() == [50] * 7 and len(batch.labels) == 7
    assert batch.ids.tolist() == np.resize(texts.ids, 350).tolist()


def test_batches_hold_no_text_twice_until_all_have_come(small):
    texts = small.load_texts("r8").train
    rows = np.concatenate(workloads.random_rows(texts, 5, 8))
    assert sorted(rows.tolist()) == list(range(40))
    assert not np.array_equal(rows, np.arange(40))
