"""An encoder that is used again gives what a new one gives, whatever it remembers."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.data import encoder as encoder_module
from engine.data import pieces as pieces_module
from engine.data.char_ngrams import learn_char_ngrams
from engine.data.encoder import FEW_CHARACTERS, Encoder
from engine.data.strings import strings_from, to_list
from engine.data.tokenizer import train_tokenizer
from engine.data.vocabulary import Vocabulary
from tests.support.encoding import encode, encode_texts, learn_affixes, learn_ngrams, words_in

LEARNED = [
    "The quick brown foxes jumped over the lazy dogs, twice.",
    "the quick brown fox jumps over a lazy dog's tail",
    "Profits rose; profits fell (again) in the third quarter",
    "Profiles were stamped; profiles fell",
]
TEXTS = [
    *LEARNED,
    "",
    " ",
    "  double  spaces and\ttabs \n and lines ",
    "[CLS] the [SEP] [UNK] [PAD]",
    "unknown \u4e2d\u6587 \u00c5ngstr\u00f6m na\u00efve \ufb01re \u2603 e\u0301",
    "QUICK quick Quick jumped, jumped. JUMPED-OVER 3rd 123456 1,234.5",
    "a" * 300,
    " ".join(["the quick"] * 40),
    "the\x00 quick\ufffd \u200bbrown",
]


def vocabulary_of(tokens="wordpieces", ngrams=1, affixes=False, lowercase=True, sentences=False, char_ngrams=False):
    tokenizer = train_tokenizer(LEARNED, 120, tokens, lowercase)
    known = learn_ngrams(*encode_texts(tokenizer, LEARNED, 100), ngrams, 1, 1000) if ngrams > 1 else None
    found = learn_char_ngrams(words_in(tokenizer, LEARNED), range(2, 5), 2, 1000) if char_ngrams else None
    return Vocabulary(tokenizer, known, learn_affixes(tokenizer, LEARNED) if affixes else None, sentences, found)


VOCABULARIES = {
    "tokens": vocabulary_of(),
    "ngrams": vocabulary_of(ngrams=3),
    "affixes": vocabulary_of(affixes=True),
    "characters": vocabulary_of(char_ngrams=True),
    "all": vocabulary_of("words", ngrams=2, affixes=True, char_ngrams=True),
    "both": vocabulary_of(ngrams=2, affixes=True),
    "words": vocabulary_of("words", ngrams=2, affixes=True),
    "cased": vocabulary_of(affixes=True, lowercase=False),
    "sentences": vocabulary_of(sentences=True),
}


def assert_same(found, expected):
    for name, one, other in zip(expected._fields, found, expected):
        assert (one is None) == (other is None), name
        assert other is None or (one.dtype == other.dtype and np.array_equal(one, other)), name


@pytest.mark.parametrize("max_tokens", [1, 2, 7, 256])
@pytest.mark.parametrize("kind", VOCABULARIES)
def test_what_is_remembered_changes_nothing(kind, max_tokens):
    """All texts at first and again, one text at a time, and none at all."""
    vocabulary = VOCABULARIES[kind]
    encoder, expected = Encoder(vocabulary, max_tokens), encode(vocabulary, TEXTS * 3, max_tokens)
    assert_same(Encoder(vocabulary, max_tokens).encode(strings_from(TEXTS * 3)), expected)
    one = encode(vocabulary, TEXTS, max_tokens)
    assert np.array_equal(one.ids, expected.ids[: len(one.ids)]) and sum(map(len, TEXTS)) <= FEW_CHARACTERS
    for _ in range(2):
        assert_same(encoder.encode(TEXTS), one)
        assert_same(encoder.encode(TEXTS * 3), expected)
    for text in TEXTS:
        assert_same(encoder.encode([text]), encode(vocabulary, [text], max_tokens))
    assert_same(encoder.encode([]), encode(vocabulary, [], max_tokens))


def test_a_tokenizer_that_cuts_and_fills_up_is_told_not_to():
    expected = encode(vocabulary_of(affixes=True), TEXTS, 256)
    vocabulary = vocabulary_of(affixes=True)
    vocabulary.tokenizer.enable_truncation(1)
    vocabulary.tokenizer.enable_padding(length=5)
    assert_same(encode(vocabulary, TEXTS, 256), expected)


def test_each_word_is_cut_once(monkeypatch):
    asked = []
    cut = pieces_module.pieces_of
    monkeypatch.setattr(
        pieces_module,
        "pieces_of",
        lambda tokenizer, new, *more: asked.extend(to_list(new)) or cut(tokenizer, new, *more),
    )
    encoder = Encoder(VOCABULARIES["both"], 256)
    encoder.encode(["a b a", "b c"])
    encoder.encode(["c d"])
    assert asked == ["a", "b", "c", "d"]


@pytest.mark.parametrize("limit", ["KNOWN_WORDS", "KNOWN_BYTES"])
def test_memory_is_bounded(monkeypatch, limit):
    monkeypatch.setattr(encoder_module, limit, 5)
    encoder = Encoder(VOCABULARIES["both"], 256)
    for text in TEXTS:
        assert_same(encoder.encode([text]), encode(VOCABULARIES["both"], [text], 256))
        words = encoder.words.strings
        known, added = (
            (len(words), text.count(" ") + 1) if limit == "KNOWN_WORDS" else (len(words.data), len(text.encode()))
        )
        assert known <= 5 + added


def test_tokenizers_that_look_across_spaces_take_whole_texts():
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "new york": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(",", "removed")
    assert encode(Vocabulary(tokenizer), ["new york,new york,york"], 9).ids.tolist() == [1, 2, 2, 0]


@pytest.mark.parametrize("few", [0, 2, 1000])
def test_few_and_many_words_have_the_same_tokens(few, monkeypatch):
    """Few are looked up by the library, many by their hashes, from the first on or from a later one."""
    vocabulary = vocabulary_of("words")
    expected = [vocabulary.tokenizer.encode(text, add_special_tokens=False).ids for text in [*LEARNED, "unknown ones"]]
    monkeypatch.setattr(encoder_module, "FEW_PIECES", few)
    encoder = Encoder(vocabulary, 256)
    assert [encoder.encode([text]).ids.tolist()[1:] for text in [*LEARNED, "unknown ones"]] == expected
