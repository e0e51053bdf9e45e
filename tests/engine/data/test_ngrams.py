"""N-grams as further tokens, against tuples of tokens looked at one by one."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.hash_table import mixed
from engine.data.ngrams import NGramVocabulary
from tests.support.encoding import add_ngrams, learn_ngrams
from tests.support.examples import examples

CLS, TOKENS = 2, 5  # few, so that grams repeat
TEXTS = st.lists(st.lists(st.integers(0, TOKENS - 1), max_size=7).map(lambda tokens: [CLS, *tokens]), max_size=6)


def flat(texts):
    return np.array([i for text in texts for i in text], np.int32), np.cumsum([0, *map(len, texts)], dtype=np.int64)


def split(ids, offsets):
    return [ids[start:stop].tolist() for start, stop in zip(offsets, offsets[1:])]


def grams(text, longest):
    return [tuple(text[i : i + length]) for length in range(2, longest + 1) for i in range(len(text) - length + 1)]


def splitmix64(x):
    """In whole numbers of Python."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def hash_of(gram):
    value = splitmix64(gram[0])
    for token in gram[1:]:
        value = splitmix64(value ^ token)
    return value


@examples(100)
@given(TEXTS, st.integers(2, 4), st.integers(1, 3), st.integers(1, 6))
def test_known_are_the_grams_that_occur_often_enough(texts, longest, frequency, parts):
    counts = Counter(gram for text in texts for gram in grams(text, longest))
    vocabulary = learn_ngrams(*flat(texts), longest, frequency, 10**6, parts)
    assert vocabulary.hashes.dtype == np.uint64 and vocabulary.longest == longest
    assert vocabulary.hashes.tolist() == sorted(hash_of(gram) for gram, count in counts.items() if count >= frequency)


@examples(100)
@given(TEXTS, st.integers(1, 5))
def test_the_most_frequent_stay(texts, most):
    counts = Counter(hash_of(gram) for text in texts for gram in grams(text, 3))
    ranked = sorted((-count, value) for value, count in counts.items() if count > 1)
    assert learn_ngrams(*flat(texts), 3, 2, most).hashes.tolist() == sorted(value for _, value in ranked[:most])


@examples(100)
@given(TEXTS, TEXTS, st.integers(2, 4))
def test_known_grams_follow_their_text_and_others_are_left_out(texts, others, longest):
    vocabulary = learn_ngrams(*flat(texts), longest, 2, 10**6)
    ids, offsets = add_ngrams(*flat(others), TOKENS, vocabulary)
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    place = {value: TOKENS + number for number, value in enumerate(vocabulary.hashes.tolist())}
    expected = [
        text + [place[hash_of(gram)] for gram in grams(text, longest) if hash_of(gram) in place] for text in others
    ]
    assert split(ids, offsets) == expected


def test_order_counts():
    assert hash_of((3, 4)) != hash_of((4, 3)) != hash_of((4, 3, 3))
    assert learn_ngrams(*flat([[CLS, 3, 4], [CLS, 4, 3]]), 2, 2, 9).hashes.tolist() == []


def test_how_a_text_begins_is_a_gram():
    assert learn_ngrams(*flat([[CLS, 3, 4], [CLS, 3, 1]]), 2, 2, 9).hashes.tolist() == [hash_of((CLS, 3))]


def test_no_gram_is_known():
    ids, offsets = add_ngrams(*flat([[CLS, 3, 4], [CLS]]), TOKENS, NGramVocabulary(np.array([], np.uint64), 3))
    assert split(ids, offsets) == [[CLS, 3, 4], [CLS]]


@pytest.mark.parametrize("texts", [[], [[CLS]], [[CLS, 1]]])
def test_texts_without_neighbours(texts):
    assert len(learn_ngrams(*flat(texts), 4, 2, 9).hashes) == 0


def test_mixed_is_splitmix64():
    state = 1234567  # and the first outputs of Vigna's splitmix64.c from it
    assert mixed(np.array([state, state + 0x9E3779B97F4A7C15], np.uint64)).tolist() == [
        6457827717110365317,
        3203168211198807973,
    ]
