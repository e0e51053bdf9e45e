"""Affixes as further tokens, against words looked at one by one."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from engine.data import affixes
from engine.data.affixes import AffixVocabulary, affixes_of
from engine.data.strings import spans_of, strings_from, to_list
from engine.data.tokenizer import train_tokenizer
from tests.support.encoding import encode_affixes, learn_affixes
from tests.support.examples import examples

TOKENIZER = train_tokenizer(["a word"] * 2, 60)
WORDS = st.text("ab", min_size=1, max_size=8)
PARTS = st.lists(WORDS, max_size=3).map(",".join)  # of several words, or of none
TEXTS = st.lists(st.lists(PARTS, max_size=5).map(" ".join), max_size=6)


def words(text):
    """Of texts of letters, commas and spaces; a comma is a word."""
    return text.replace(",", " , ").split()


def in_words(word):
    """The affixes of a word, character by character."""
    return [word[:5] + "-"] * (len(word) > 5) + ["-" + word[-3:]] * (len(word) > 3)


@examples(100)
@given(st.lists(st.text(max_size=8)))
def test_affixes_are_five_first_and_three_last_characters(given_words):
    """Affixes are the first five and the last three characters of longer words, however many bytes these have."""
    given_words = ["profits", "words", "wor", "", *(word.encode("utf-8", "replace").decode() for word in given_words)]
    strings = strings_from(given_words)
    for found_affixes, wanted in zip(
        affixes_of(strings), (lambda w: w[:5] if len(w) > 5 else 0, lambda w: len(w) > 3 and w[-3:])
    ):
        found = dict(
            zip(found_affixes.words.tolist(), to_list(spans_of(strings.data, found_affixes.starts, found_affixes.ends)))
        )
        assert found == {number: wanted(word) for number, word in enumerate(given_words) if wanted(word)}


@examples(100)
@given(TEXTS)
def test_known_are_the_affixes_of_two_different_words(texts):
    counts = Counter(affix for word in {word for text in texts for word in words(text)} for affix in in_words(word))
    assert learn_affixes(TOKENIZER, texts).known == sorted(affix for affix, count in counts.items() if count > 1)


@pytest.mark.parametrize("few", [0, 1000])
@examples(100)
@given(TEXTS, TEXTS, st.integers(1, 6))
def test_each_text_gets_the_known_affixes_within_max_tokens(few, texts, others, max_tokens):
    """Each text gets the known affixes of the parts within max_tokens, looked up with a table and without."""
    vocabulary = learn_affixes(TOKENIZER, texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(affixes, "FEW_WORDS", few)
        ids, offsets = encode_affixes(vocabulary, TOKENIZER, others, max_tokens)
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    expected = []
    for text in others:
        parts = [words(part) for part in text.split(" ")]
        ends = np.cumsum([len(part) for part in parts])
        inside = [word for part, end in zip(parts, ends) if end < max_tokens for word in part]
        expected.append([affix for word in inside for affix in in_words(word) if affix in vocabulary.known])
    assert [[vocabulary.known[i] for i in ids[start:stop]] for start, stop in zip(offsets, offsets[1:])] == expected


def test_words_are_normalized_and_cut_as_the_tokenizer_does():
    vocabulary = learn_affixes(TOKENIZER, ["Running, jogging", "RUNNINGS"])
    assert vocabulary.known == ["-ing", "runni-"]
    ids, offsets = encode_affixes(vocabulary, TOKENIZER, ["Rùnnily-singing", "x"], 9)
    assert (ids.tolist(), offsets.tolist()) == ([1, 0], [0, 2, 2])


def test_a_tokenizer_without_rules_cuts_at_spaces():
    plain = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    assert learn_affixes(plain, ["Aing bing", "A-ing"]).known == ["-ing"]


def test_nothing_known_and_no_texts():
    ids, offsets = encode_affixes(AffixVocabulary([]), TOKENIZER, ["running words"], 9)
    assert (ids.tolist(), offsets.tolist()) == ([], [0, 0])
    ids, offsets = encode_affixes(AffixVocabulary(["-ing"]), TOKENIZER, [], 9)
    assert (ids.dtype, ids.tolist(), offsets.dtype, offsets.tolist()) == (np.int32, [], np.int64, [0])
