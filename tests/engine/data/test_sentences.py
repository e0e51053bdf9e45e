"""Sentences: where they end, that nothing is lost, and that they have the tokens of their text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from engine.data.config import TOKENS
from engine.data.sentences import sentences_of
from engine.data.tokenizer import train_tokenizer
from tests.support.examples import examples

# A bar where a sentence ends.
CUTS = [
    "",
    "...!?",
    " \n ",
    "no punctuation at all",
    "The market fell. |Traders were calm.",
    "You did what?! |Stop it!! |Now!",
    "Mr. Smith met Dr. Jones. |They talked.",
    "He works in the U.S. and in L.A. every week. |It suits him.",
    "The U.S. Army left. |She moved to the U.S. |The family followed.",
    "J. K. Rowling and George W. Bush met J.R.R. Tolkien. |None spoke.",
    "Bring fruit, e.g. apples, i.e. what grows here. |Bring water too.",
    "Apple Inc. said so. |It was bought by Oracle Corp. |The price is unknown.",
    "Talks begin at 9 a.m. on Tuesday. |They end at 5 p.m. |No one knows more.",
    "Profit rose to $3.5 billion. |Sales fell 4.2 percent.",
    "The No. 1 seed lost. |See Vol. 2, pp. 5-7. |He said no. |Police came.",
    "He was born on Sept. 11, 1950. |2004 was a good year.",
    "Smith vs. Jones was heard by Gov. Brown and Lt. Col. White. |It ended.",
    "PORTLAND, Ore. -- The Blazers won. |AP - Nobody cared.",
    '"We will win." |The crowd cheered. |"Will we?" he asked.',
    "She said “no.” |He said “yes.”",
    "It rained. |(We stayed home.) |It rained (again.) |[Nobody came.]",
    "Well... it depends. |The end came... |Then silence fell… |Wait . . . what?",
    "Yahoo! said it bought the company. |Shares rose.",
    "the film was bad. |i hated it. |what a waste! |avoid",
    "It was bad. |i hated it! and so on",
    "the u.s. economy grew. |mr. bush said so. |it did .",
    "Visit www.example.com or example.org/a.b?c=d. |It works.",
    "1. The plot is thin. |2. The cast is not.",
    "It was good. ***",
    "今天下雨。|我们在家！|你呢？！|好。",
    "彼は来た。|「こんにちは。」|そして帰った。",
    "Это мир. |Он хорош. |هل هذا جيد؟ |نعم.",
    "A title\n\n|A wrapped\nline. |Another.\r\n \r\n|The end.\n",
    "A bad film.<br /><br />|The plot is thin. <br>|Avoid it.<BR/>",
    "<br />Great cast<br />|Poor script",
]


@pytest.mark.parametrize("marked", CUTS)
def test_sentences_end_where_a_reader_ends_them(marked):
    assert sentences_of(marked.replace("|", "")) == marked.split("|")


PIECES = st.sampled_from(
    ["mr", "u.s", "5", ".", "!", "?", "…", "...", ". ", '." ', "。", "！", "」", "<br />", "<br", ">"]
    + [" ", "\t", "\n", "\n\n", "\r", "\u00a0", "\u3000", "\u2028", "\x0b", "\x85", "\x1c", "\0", "\u200b", "\ufeff"]
    + ["é", "\u0301", "\u0338", "\ufe0f", "中", "😀", "İ", "Σ", "x" * 120]
)
WORDS = st.sampled_from(["A", "b", "The", "bad"])
STRINGS = st.lists(st.tuples(WORDS, PIECES | st.text(max_size=4), WORDS).map("".join) | PIECES, max_size=9).map("".join)


@examples(100)
@given(STRINGS)
def test_sentences_joined_are_the_text(text):
    """Sentences joined are the text, and there is a letter in each of several."""
    sentences = sentences_of(text)
    assert "".join(sentences) == text and sentences
    assert len(sentences) == 1 or all(any(c.isalpha() for c in sentence) for sentence in sentences)


def tokenizers_of_all_kinds():
    """Words and pieces, with and without capitals, accents, cleaning and the spaces around Chinese characters."""
    for tokens in TOKENS:
        for fields in ({}, {"lowercase": False}, {"strip_accents": False, "clean_text": False}):
            tokenizer = train_tokenizer(["The bad mr u.s é 中。！ . ! ? 5 < br / > Ab"] * 3, 80, tokens)
            tokenizer.normalizer = normalizers.BertNormalizer(**fields)
            yield tokenizer
    tokenizer.normalizer = normalizers.BertNormalizer(handle_chinese_chars=False)
    yield tokenizer


@examples(100)
@given(st.sampled_from(list(tokenizers_of_all_kinds())), STRINGS)
def test_tokens_of_sentences_are_those_of_the_text(tokenizer, text):
    def ids(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    assert [i for sentence in sentences_of(text) for i in ids(sentence)] == ids(text)


@pytest.mark.parametrize("piece", [".", ". ", "a. ", "A. a. ", '."', "。", " ", "\n", "\n ", "<br", "<br />", "!' 1. "])
def test_long_texts_take_linear_time(piece):
    """A text of 300,000 characters takes a moment; in quadratic time it would take an hour."""
    text = "a" + piece * (300_000 // len(piece)) + "b"
    assert "".join(sentences_of(text)) == text
