"""Generated corpora: rows that repeat, words as in natural text, labels that words and pairs of words tell."""

import csv
from collections import Counter

import numpy as np
import pytest

from layers.experiments.benchmark import scale_corpus
from layers.experiments.benchmark.scale_corpus import (
    BREAK,
    CLASSES,
    EXPONENT,
    FIRST_MARK,
    FIRST_TOPIC,
    MARKS,
    draw_ranks,
    draw_rows,
    write_corpus,
)


@pytest.fixture(scope="module")
def rows():
    return draw_rows(0, "train", 0)


def labels_of_words(rows):
    return np.repeat(rows.labels, rows.lengths)


def test_equal_arguments_give_equal_bytes(tmp_path, monkeypatch):
    """And a corpus begins with the rows of every smaller one, whatever block it ends in."""
    monkeypatch.setattr(scale_corpus, "BLOCK", 100)
    sizes = {"small": 70, "again": 70, "middle": 100, "large": 250}
    for name, count in sizes.items():
        write_corpus(tmp_path / f"{name}.csv", count, "train")
    found = {name: (tmp_path / f"{name}.csv").read_bytes() for name in sizes}
    assert found["small"] == found["again"]
    assert found["large"].startswith(found["middle"]) and found["middle"].startswith(found["small"])
    assert [data.count(b"\n") for data in found.values()] == [count + 1 for count in sizes.values()]
    lines = found["large"].splitlines()[1:]
    assert len(set(lines)) == len(lines), "blocks have rows in common"
    write_corpus(tmp_path / "test.csv", 70, "test")
    write_corpus(tmp_path / "other.csv", 70, "train", seed=1)
    texts = [(tmp_path / f"{name}.csv").read_bytes() for name in ("small", "test", "other")]
    assert len(set(texts)) == 3


def test_both_forms_hold_the_same_rows(tmp_path):
    for ending in ("csv", "txt"):
        write_corpus(tmp_path / f"rows.{ending}", 300, "train")
    with open(tmp_path / "rows.csv", newline="") as file:
        table = list(csv.DictReader(file))
    lines = [line.split(" __label__") for line in (tmp_path / "rows.txt").read_text().splitlines()]
    assert [[row["text"], row["label"]] for row in table] == lines and len(lines) == 300
    assert {row["label"] for row in table} == set(map(str, range(CLASSES)))
    lengths = [len(row["text"].split()) for row in table]
    assert min(lengths) >= 5 and abs(np.mean(lengths) - 20) < 1


def test_every_word_has_letters_of_its_own(tmp_path, rows):
    lines = scale_corpus.lines_of(rows, b",").decode().splitlines()
    words = [word for line in lines for word in line.rpartition(",")[0].split(" ")]
    assert len(words) == len(rows.ranks)
    assert len(set(words)) == len(set(rows.ranks.tolist())) == len(set(zip(words, rows.ranks.tolist())))
    assert [line.rpartition(",")[2] for line in lines] == [str(label) for label in rows.labels]


def test_words_are_as_frequent_as_in_natural_text():
    """As Zipf's law says up to BREAK, beyond as a steeper one, without end."""
    count = 2_000_000
    ranks = draw_ranks(np.random.default_rng(0), count)
    total = (1 / np.arange(1, BREAK + 1)).sum() + 1 / (EXPONENT - 1)
    for rank in (0, 1, 9, 99):
        expected = count / (rank + 1) / total
        assert abs((ranks == rank).sum() - expected) < 5 * np.sqrt(expected)
    for factor in (1, 2, 8, 64):
        expected = count * factor ** (1 - EXPONENT) / (EXPONENT - 1) / total
        assert abs((ranks >= factor * BREAK).sum() - expected) < 5 * np.sqrt(expected)


def test_the_vocabulary_keeps_growing():
    ranks = draw_ranks(np.random.default_rng(0), 2_000_000)
    sizes = [len(np.unique(ranks[:count])) for count in (20_000, 200_000, 2_000_000)]
    for less, more in zip(sizes, sizes[1:]):
        assert 10**0.55 < more / less < 10**0.75


def test_words_of_a_class_tell_it(rows):
    labels, remainders = labels_of_words(rows), rows.ranks % (2 * CLASSES)
    own = (rows.ranks >= FIRST_TOPIC) & (remainders < CLASSES)
    assert (remainders[own] == labels[own]).all()
    row = np.repeat(np.arange(len(rows.labels)), rows.lengths)
    assert 0.5 < len(np.unique(row[own])) / len(rows.labels) < 0.75


def test_only_pairs_of_marks_tell_the_class(rows):
    """A mark alone is as frequent in every class; the sum of two neighbours is the class in nearly all cases."""
    labels, marks = labels_of_words(rows), rows.ranks - FIRST_MARK
    is_mark = (0 <= marks) & (marks < MARKS)
    for mark in range(MARKS):
        counts = np.bincount(labels[marks == mark], minlength=CLASSES)
        assert abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())
    starts = np.cumsum(rows.lengths) - rows.lengths
    inside = np.ones(len(marks), bool)
    inside[starts] = False  # first words have no neighbour before them
    pairs = np.flatnonzero(is_mark[:-1] & is_mark[1:] & inside[1:])
    tells = (marks[pairs] + marks[pairs + 1]) % CLASSES == labels[pairs]
    assert tells.mean() > 0.9 and abs(tells.sum() / len(rows.labels) - 0.5) < 0.05
    assert len(Counter(zip(marks[pairs].tolist(), marks[pairs + 1].tolist()))) == MARKS**2
