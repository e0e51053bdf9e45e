"""Character n-grams as further tokens, against windows over Python's strings."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data import char_ngrams as char_ngrams_module
from engine.data.affixes import AffixVocabulary
from engine.data.char_ngrams import CharNGramTable, CharNGramVocabulary, learn_char_ngrams
from engine.data.config import DataConfig
from engine.data.encoder import Encoder
from engine.data.learning import char_ngrams_of
from engine.data.strings import strings_from
from engine.data.tokenizer import train_tokenizer
from engine.data.vocabulary import Vocabulary
from engine.support.errors import UserError
from tests.support.encoding import encode, words_in
from tests.support.examples import examples

TOKENIZER = train_tokenizer(["a word"] * 2, 60)
SPECIAL = [
    "",
    "a",
    "<",
    ">",
    "<a>",
    "中文字符",
    "文字",
    "👩‍👩‍👧",
    "🙂🙂",
    "e\u0301te\u0301",
    "\u0301",
    "ab" * 400,
    "\x00\x00",
]
CHARACTERS = st.text("abé中🙂\u0301<>\x00", max_size=8)
WORDS = st.lists(CHARACTERS, max_size=12).map(lambda words: list(dict.fromkeys([*words, *SPECIAL])))
LENGTHS = st.tuples(st.integers(1, 5), st.integers(0, 3)).map(lambda pair: range(pair[0], sum(pair) + 1))


def windows(word, lengths):
    """The distinct n-grams of a word between its borders."""
    word = f"<{word}>"
    return {word[i : i + length] for length in lengths for i in range(len(word) - length + 1)}


def word_sets(words, lengths):
    """{n-gram: the words that have it}."""
    sets = defaultdict(set)
    for word in words:
        for gram in windows(word, lengths):
            sets[gram].add(word)
    return sets


def listed(vocabulary, words):
    """The known n-grams of each word."""
    ids, counts = CharNGramTable(vocabulary).of(strings_from(words))
    assert ids.dtype == np.int32 and len(counts) == len(words)
    ends = np.concatenate([[0], np.cumsum(counts)])
    return [[vocabulary.known[i] for i in ids[start:end]] for start, end in zip(ends, ends[1:])]


@examples(100)
@given(WORDS, LENGTHS, st.integers(1, 3))
def test_known_are_the_ngrams_that_several_words_have(words, lengths, frequency):
    """One for each set of at least so many words, the shortest of those that have this set."""
    known = learn_char_ngrams(strings_from(words), lengths, frequency, 10**6).known
    sets = {gram: frozenset(some) for gram, some in word_sets(words, lengths).items() if len(some) >= frequency}
    assert known == sorted(set(known)) and {sets[gram] for gram in known} == set(sets.values())
    assert len({sets[gram] for gram in known}) == len(known)
    shortest = {some: min(len(g.encode()) for g in sets if sets[g] == some) for some in set(sets.values())}
    assert all(len(gram.encode()) == shortest[sets[gram]] for gram in known)


@examples(100)
@given(WORDS, WORDS, LENGTHS)
def test_each_word_gets_its_known_ngrams_once(words, others, lengths):
    vocabulary = learn_char_ngrams(strings_from(words), lengths, 1, 10**6)
    expected = [sorted(windows(word, lengths) & set(vocabulary.known)) for word in others]
    assert listed(vocabulary, others) == expected


@examples(30)
@given(WORDS, LENGTHS, st.integers(1, 9))
def test_the_most_frequent_stay_where_there_are_too_many(words, lengths, most):
    strings, sets = strings_from(words), word_sets(words, lengths)
    whole, cut = (learn_char_ngrams(strings, lengths, 2, each).known for each in (10**6, most))
    assert len(cut) == min(most, len(whole)) and set(cut) <= set(whole)
    left = [len(sets[gram]) for gram in set(whole) - set(cut)]
    assert not left or max(left) <= min(len(sets[gram]) for gram in cut)


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_chunks_of_words_change_nothing(monkeypatch, chunk):
    words = [*SPECIAL, *"walking walked talking talked aaaa baaab".split()]
    vocabularies = [learn_char_ngrams(strings_from(words), range(2, 5), 2, 40)]
    expected = listed(vocabularies[0], words)
    monkeypatch.setattr(char_ngrams_module, "CHUNK_BYTES", chunk)
    vocabularies.append(learn_char_ngrams(strings_from(words), range(2, 5), 2, 40))
    assert vocabularies[0] == vocabularies[1] and listed(vocabularies[0], words) == expected


def test_no_words_and_nothing_known():
    assert learn_char_ngrams(strings_from([]), range(3, 6), 1, 9).known == []
    assert listed(CharNGramVocabulary([]), ["word", ""]) == [[], []]
    assert listed(CharNGramVocabulary(["wor"]), []) == []


PROFI = {"<pro", "prof", "rofi"}  # of one set of words


def test_what_affixes_say_is_left_out():
    """Of "-ing" and "profi-" the sequences "ing>" and "<profi" are left out, and nothing else."""
    words = strings_from("profits profile king ring sing".split())
    for lengths, affixes, known in (
        ("4", [], {"prof", "ing>"}),
        ("4", ["-ing", "profi-"], {"prof"}),
        ("6", [], {"<profi"}),
        ("6", ["-ing", "profi-"], set()),
        ("", [], None),
    ):
        found = char_ngrams_of(DataConfig(char_ngrams=lengths), words, AffixVocabulary(affixes))
        assert (None if found is None else {"prof" if gram in PROFI else gram for gram in found.known}) == known


TEXTS = ["Walking, talked!", "", "a 中文 walks", "the talking walker", " ", "🙂 e\u0301e\u0301e\u0301 🙂", "x" * 500]


def learned(texts, lengths=range(3, 6)):
    """A Vocabulary of tokens and character n-grams."""
    known = learn_char_ngrams(words_in(TOKENIZER, texts), lengths, 2, 10**6)
    return Vocabulary(TOKENIZER, char_ngrams=known)


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 9])
def test_texts_get_the_ngrams_of_the_words_that_are_kept(max_tokens):
    """A text that max_tokens cuts has the n-grams of the words that end before, as with affixes."""
    vocabulary = learned(TEXTS)
    batch, first = encode(vocabulary, TEXTS, max_tokens), vocabulary.first_char_ngram()
    assert first == TOKENIZER.get_vocab_size() and batch.ids.max() < vocabulary.size()
    for text, start, end in zip(TEXTS, batch.offsets, batch.offsets[1:]):
        cut = [[p for p, _ in TOKENIZER.pre_tokenizer.pre_tokenize_str(TOKENIZER.normalizer.normalize_str(word))]
               for word in text.split(" ")]  # fmt: skip
        ends = np.cumsum([len(pieces) for pieces in cut])
        kept = [piece for pieces, last in zip(cut, ends) if last < max_tokens for piece in pieces]
        ids = batch.ids[start:end]
        found = vocabulary.names(ids)[int((ids < first).sum()) :]
        known = set(vocabulary.char_ngrams.known)
        assert found == [gram for piece in kept for gram in sorted(windows(piece, range(3, 6)) & known)]


def test_texts_one_by_one_have_the_same_ids():
    vocabulary = learned(TEXTS)
    whole, encoder = encode(vocabulary, TEXTS, 9), Encoder(vocabulary, 9)
    for text, start, end in zip(TEXTS, whole.offsets, whole.offsets[1:]):
        assert encoder.encode([text]).ids.tolist() == whole.ids[start:end].tolist()
    assert len(whole.ids) > len(encode(Vocabulary(TOKENIZER), TEXTS, 9).ids) and len(encode(vocabulary, [], 9).ids) == 0


@pytest.mark.parametrize("text", ["0", "5-3", "3-", "-3", "3-5-7", "3–5", "3 - 5", "1-13", "a", "3.5", " ", "٣"])
def test_lengths_that_are_none_are_refused_in_one_line(text):
    with pytest.raises(
        UserError, match="^char_ngrams: expected two lengths from 1 to 12 such as 3-5, .*got "
    ) as caught:
        DataConfig(char_ngrams=text)
    assert "\n" not in str(caught.value) and repr(text) in str(caught.value)


def test_lengths_are_one_or_two_numbers():
    lengths = [DataConfig(char_ngrams=text).char_ngram_lengths() for text in ("", "4", "3-5", "12-12")]
    assert lengths == [range(0), range(4, 5), range(3, 6), range(12, 13)]
