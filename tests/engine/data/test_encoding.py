"""Texts as flat ids: whole-text tokenization is the judge of the faster way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken

from engine.data import encoding
from engine.data.config import TOKENS
from engine.data.encoding import cuts_at_spaces, encode_texts
from engine.data.tokenizer import train_tokenizer

PIECES_AND_WORDS = [
    train_tokenizer(["the wave runs, the wave breaks", "a lake without waves é ü 中文 😀!"] * 3, 80, tokens)
    for tokens in TOKENS
]
TOKENIZER = PIECES_AND_WORDS[0]
CLS = 2
PIECES = st.sampled_from(
    [
        "wave",
        "waves",
        "lake",
        " ",
        "  ",
        "\t",
        "\n",
        "\u00a0",
        "\u2028",
        "\x1c",
        "\0",
        "\ufffd",
        ",",
        "é",
        "e\u0301",
        "\u0301",
        "中",
        "😀",
        "ß",
        "İ",
        "Σ",
        "[CLS]",
        "##s",
        "x" * 120,
    ]
)
STRINGS = st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join)


def split(ids, offsets):
    return [ids[start:stop].tolist() for start, stop in zip(offsets, offsets[1:])]


@given(st.sampled_from(PIECES_AND_WORDS), st.lists(STRINGS, max_size=5), st.integers(1, 12))
def test_ids_are_those_of_whole_texts_cut_after_max_tokens(tokenizer, texts, max_tokens):
    assert cuts_at_spaces(tokenizer)
    ids, offsets = encode_texts(tokenizer, texts, max_tokens)
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    assert split(ids, offsets) == [
        [CLS, *tokenizer.encode(text, add_special_tokens=False).ids][:max_tokens] for text in texts
    ]


def test_empty_texts_are_the_class_token_alone():
    assert split(*encode_texts(TOKENIZER, ["", " ", "\0"], 9)) == [[CLS]] * 3
    assert split(*encode_texts(TOKENIZER, [], 9)) == []


def test_special_tokens_in_a_text_are_ordinary_characters():
    ids, _ = encode_texts(TOKENIZER, ["[CLS] [PAD]"], 99)
    assert CLS not in ids[1:] and 0 not in ids


def test_padding_and_truncation_of_the_tokenizer_do_not_interfere():
    tokenizer = train_tokenizer(["a, b, c"] * 2, 20)
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(2)
    ids, offsets = encode_texts(tokenizer, ["a,b,c", "a"], 5)
    assert np.diff(offsets).tolist() == [5, 2] and 0 not in ids


def test_tokens_that_span_spaces_are_found_in_whole_texts():
    tokenizer = train_tokenizer(["new york is new"] * 2, 40)
    tokenizer.add_tokens([AddedToken("new york")])
    assert not cuts_at_spaces(tokenizer)
    ids, _ = encode_texts(tokenizer, ["is new york"], 9)
    assert [tokenizer.id_to_token(i) for i in ids] == ["[CLS]", "is", "new york"]


def test_small_chunks_and_a_small_memory_change_nothing(monkeypatch):
    texts = ["the wave", "lake " * 30, "", "waves 中"] * 20
    expected = encode_texts(TOKENIZER, texts, 16)
    for name, value in (("CHUNK_TEXTS", 3), ("CHUNK_CHARACTERS", 20), ("KNOWN_WORDS", 2)):
        monkeypatch.setattr(encoding, name, value)
    assert all(np.array_equal(a, b) for a, b in zip(expected, encode_texts(TOKENIZER, iter(texts), 16)))


def test_chunks_are_bounded_by_texts_and_by_characters(monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK_TEXTS", 3)
    monkeypatch.setattr(encoding, "CHUNK_CHARACTERS", 10)
    assert list(map(len, encoding.chunks(["a"] * 7 + ["b" * 10] * 2))) == [3, 3, 2, 1]


def test_a_text_of_a_million_characters():
    ids, offsets = encode_texts(TOKENIZER, ["wave " * 200_000, "x" * 1_000_000], 8)
    assert offsets.tolist() == [0, 8, 10] and ids[9] == 1


def test_max_tokens_must_leave_room_for_the_class_token():
    with pytest.raises(ValueError, match="max_tokens: must be at least 1"):
        encode_texts(TOKENIZER, ["a"], 0)
