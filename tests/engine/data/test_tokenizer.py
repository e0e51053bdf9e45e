"""Tokenizers are learned, loaded and saved; whole-text tokenization is the judge of the faster way to ids."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken

from engine.data import encoder as encoder_module
from engine.data.config import TOKENS
from engine.data.encoder import Encoder
from engine.data.pieces import cuts_at_spaces
from engine.data.sentences import sentences_of
from engine.data.tokenizer import (
    SPECIAL_TOKENS,
    check_sentences,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from engine.data.vocabulary import Vocabulary
from engine.support.errors import UserError
from tests.support.encoding import encode_sentences, encode_texts
from tests.support.examples import examples
from tests.support.paths import ROOT

TEXTS = ["the wave runs, the wave breaks", "Waves broke the pier", "a lake without a wave", "Äpfel"] * 3
# All pairs of 26 letters, each as often: nothing but ties.
TIES = "[a + b + c for a in 'abcdefghijklm' for b in 'nopqrstuvwxyz' for c in 'aeiou'] * 3"


def train_in_a_new_process(tokens):
    program = (
        f"from engine.data.tokenizer import train_tokenizer; print(train_tokenizer({TIES}, 200, {tokens!r}).to_str())"
    )
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)


@pytest.mark.parametrize("tokens", TOKENS)
def test_training_is_repeatable_across_processes(tokens):
    """Training is repeatable across processes even where all is tied."""
    runs = [train_in_a_new_process(tokens) for _ in range(3)]
    assert len({run.stdout for run in runs}) == 1
    assert len(json.loads(runs[0].stdout)["model"]["vocab"]) == 200
    assert runs[0].stderr == ""


@pytest.mark.parametrize("tokens", TOKENS)
def test_special_tokens_come_first_and_ids_have_no_gaps(tokens):
    vocabulary = train_tokenizer(TEXTS, 60, tokens).get_vocab()
    assert [vocabulary[token] for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")] == [0, 1, 2, 3]
    assert sorted(vocabulary.values()) == list(range(len(vocabulary))) and len(vocabulary) <= 60


def test_pieces_and_words_are_learned():
    tokenizer = train_tokenizer(TEXTS, 60)
    assert tokenizer.encode("Wave, the wave").tokens == ["wave", ",", "the", "wave"]
    assert tokenizer.encode("apfel").tokens == tokenizer.encode("Äpfel").tokens
    assert len(tokenizer.encode("wavelake").tokens) > 1 and "[UNK]" not in tokenizer.encode("wavelake").tokens


def test_words_are_the_most_frequent_that_occur_twice():
    """Words are those that occur twice, the most frequent of them; others are unknown."""
    assert train_tokenizer(TEXTS, 60, "words").encode("Wave, the wavelake äpfel").tokens == [
        "wave",
        ",",
        "the",
        "[UNK]",
        "apfel",
    ]
    assert set(train_tokenizer([*TEXTS, "once"], 60, "words").get_vocab()) == {
        *SPECIAL_TOKENS,
        *"the wave runs breaks waves broke pier a lake without apfel ,".split(),
    }
    assert set(train_tokenizer(TEXTS, 7, "words").get_vocab()) == {*SPECIAL_TOKENS, "wave", "the", "a"}


@pytest.mark.parametrize("tokens", TOKENS)
def test_case_is_kept_on_request(tokens):
    tokenizer = train_tokenizer(["Ä b"] * 2, 80, tokens, lowercase=False)
    assert tokenizer.encode("Ä").tokens == ["Ä"] and tokenizer.encode("B").tokens == ["[UNK]"]


def test_pieces_are_found_next_to_every_kind_of_space():
    """Pieces within words are found next to every kind of space."""
    vocabulary = train_tokenizer(["ab\tcd\nef\x1cgh\u00a0ij  kl 中文"] * 2, 100).get_vocab()
    # Sorted and right after the special tokens: this order is what makes training repeatable.
    assert sorted(vocabulary, key=vocabulary.get)[4:12] == ["##b", "##d", "##f", "##g", "##h", "##j", "##l", "a"]


def test_senseless_vocabularies_are_refused():
    with pytest.raises(UserError, match="a vocabulary of 9 tokens is too small: .* need 30; .*--vocabulary-size"):
        train_tokenizer(["the quick brown fox"], 9)
    assert train_tokenizer(["the quick brown fox"], 30).get_vocab_size() == 30
    with pytest.raises(UserError, match="a vocabulary of 4 tokens is too small: it has no room for words"):
        train_tokenizer(TEXTS, 4, "words")
    for tokens in TOKENS:
        for texts in ([], ["", " \t"]):
            with pytest.raises(UserError, match="hold no word"):
                train_tokenizer(texts, 100, tokens)
    with pytest.raises(ValueError, match="tokens: .*'letters'"):
        train_tokenizer(TEXTS, 60, "letters")


@pytest.mark.parametrize("tokens", TOKENS)
def test_a_saved_tokenizer_is_loaded_as_it_was(tmp_path, tokens):
    tokenizer = train_tokenizer(TEXTS, 60, tokens)
    path = tmp_path / "tokenizer.json"
    path.write_text("old")
    save_tokenizer(tokenizer, path)
    assert load_tokenizer(path).to_str() == tokenizer.to_str()
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]
    with pytest.raises(UserError, match="cannot be written"):
        save_tokenizer(tokenizer, tmp_path / "none" / "tokenizer.json")


def test_a_vocabulary_file_is_loaded_in_its_own_case(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"[PAD]\r\n[UNK]\r\n[CLS]\r\n[unused1]\r\nwave\r\n##s\r\n")
    tokenizer = load_tokenizer(path)
    assert tokenizer.encode("WAVES wave qq").ids == [4, 5, 4, 1]
    path.write_text("[UNK]\n[CLS]\nWave\nwave\n##s\n")
    assert load_tokenizer(path).encode("Waves waves").ids == [2, 4, 3, 4]


def bert_json(**changes):
    content = json.loads(train_tokenizer(TEXTS, 60).to_str())
    content["model"].update(changes)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"has no token \[UNK\]"),
        ("[UNK]\nwave\n", r"has no token \[CLS\]"),
        ("[UNK]\n[CLS]\nwave\nwave\n", "line 4: token 'wave' is a duplicate of line 3"),
        ("{}", "is no tokenizer.json"),
        ('{"a": ', "is no tokenizer.json"),
        (lambda: bert_json(unk_token="<none>"), "is no tokenizer.json that can be used .*Missing"),
        (lambda: bert_json(vocab={"[UNK]": 0, "[CLS]": 1, "a": 9}), "token ids are not 0 to"),
        (b"[UNK]\n\xff\n", "line 2: byte 0xff is not UTF-8"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "vocabulary"
    content = content() if callable(content) else content
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as caught:
        load_tokenizer(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def regex(kind):
    return {"type": kind, "pattern": {"Regex": "(a+)+$"}, "content": "x", "behavior": "Isolated", "invert": False}


def replacement(pattern, content):
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


FIXED = {"strategy": {"Fixed": 2**31}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
MERGES = {"type": "BPE", "vocab": {"[UNK]": 0, "[CLS]": 1, "a": 2, "b": 3, "ab": 4}, "merges": ["a b"]}


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "Precompiled is not supported"),
        ("normalizer", {"precompiled_charsmap": "AAAA"}, "Precompiled is not supported"),
        ("normalizer", regex("Replace"), "a regular expression is not supported"),
        ("normalizer", {"type": "Sequence", "normalizers": [regex("Replace")]}, "a regular expression is not"),
        ("normalizer", replacement("a", "aa"), "a replacement longer than its pattern is not"),
        ("normalizer", replacement("", "a"), "a replacement longer than its pattern is not"),
        ("normalizer", {"type": "Prepend", "prepend": "a" * 99}, "Prepend with 99 characters is not"),
        ("normalizer", 7, ""),
        ("pre_tokenizer", regex("Split"), "a regular expression is not supported"),
        ("pre_tokenizer", {"type": "FixedLength", "length": 0}, "FixedLength is not supported"),
        ("pre_tokenizer", [[]], ""),
        ("model", {**MERGES, "continuing_subword_prefix": "####"}, "continuing_subword_prefix of BPE is not"),
        ("model", {**MERGES, "dropout": 0.5}, "dropout of BPE is not"),
        ("model", 7, ""),
    ],
)
def test_a_tokenizer_that_could_end_the_process_is_refused(tmp_path, capfd, part, value, message):
    """Before it is built: the library ends with a panic, with the memory or never."""
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(bert_json()), part: value}))
    with pytest.raises(
        UserError, match=rf"is no tokenizer.json that can be used \(.*{message}.*; give one of the BERT"
    ):
        load_tokenizer(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("padding", FIXED),
        ("padding", {**FIXED, "strategy": "BatchLongest", "pad_to_multiple_of": 2**40}),
        ("truncation", {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 5}),
        (
            "post_processor",
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
                "pair": [],
                "special_tokens": {},
            },
        ),
        ("decoder", {"type": "WordPiece", "prefix": "##", "cleanup": True}),
        (
            "normalizer",
            {"type": "Sequence", "normalizers": [json.loads(bert_json())["normalizer"], replacement("ab", "b")]},
        ),
    ],
)
def test_what_decides_no_id_of_a_text_does_no_harm(tmp_path, part, value):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(bert_json()), part: value}))
    texts = ["the wave runs", "a lake"]
    found = encode_texts(load_tokenizer(path), texts, 9)
    assert all(np.array_equal(*pair) for pair in zip(found, encode_texts(train_tokenizer(TEXTS, 60), texts, 9)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_tokenizer(tmp_path / "vocab.txt")


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
SENTENCES = st.lists(st.sampled_from(["A wave. ", "a lake", "! ", "中。", "\0\n\n", "Waves? "])).map("".join)


def split(ids, offsets):
    return [ids[start:stop].tolist() for start, stop in zip(offsets, offsets[1:])]


@examples(100)
@given(st.sampled_from(PIECES_AND_WORDS), st.lists(STRINGS, max_size=5), st.integers(1, 12))
def test_ids_are_those_of_whole_texts_cut_after_max_tokens(tokenizer, texts, max_tokens):
    assert cuts_at_spaces(tokenizer)
    ids, offsets = encode_texts(tokenizer, texts, max_tokens)
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    assert split(ids, offsets) == [
        [CLS, *tokenizer.encode(text, add_special_tokens=False).ids][:max_tokens] for text in texts
    ]


@examples(100)
@given(st.sampled_from(PIECES_AND_WORDS), st.lists(STRINGS | SENTENCES, max_size=5), st.integers(1, 12))
def test_sentences_change_no_ids_and_end_where_they_end(tokenizer, texts, max_tokens):
    """Sentences change no ids, and end where the tokens of their texts do, as far as max_tokens reaches."""
    ids, offsets, sentence_offsets = encode_sentences(tokenizer, texts, max_tokens)
    assert sentence_offsets.dtype == np.int64 and set(offsets.tolist()) <= set(sentence_offsets.tolist())
    assert all(np.array_equal(*pair) for pair in zip((ids, offsets), encode_texts(tokenizer, texts, max_tokens)))
    ends = {0}
    for text, start in zip(texts, offsets.tolist()):
        counts = [len(tokenizer.encode(part, add_special_tokens=False).ids) for part in sentences_of(text)]
        ends |= {start + min(1 + end, max_tokens) for end in np.cumsum(counts).tolist()}
    assert sentence_offsets.tolist() == sorted(ends)


def test_every_text_has_a_sentence_and_none_is_empty():
    texts = ["", "a wave. A lake. A wave", "a wave.\n\n\0 a"]
    assert encode_sentences(TOKENIZER, texts, 99)[2].tolist() == [0, 1, 5, 8, 10, 14, 15]
    assert encode_sentences(TOKENIZER, texts[1:2], 4)[2].tolist() == [0, 4]
    assert encode_sentences(TOKENIZER, [], 4)[2].tolist() == [0]


def test_a_tokenizer_that_hides_sentences_is_refused():
    tokenizer = train_tokenizer(["new york is new"] * 2, 40)
    check_sentences(tokenizer, "a.json")
    tokenizer.add_tokens([AddedToken("new york")])
    with pytest.raises(UserError, match="^a.json: this tokenizer does not cut words at spaces .*, or set levels=text$"):
        check_sentences(tokenizer, "a.json")
    with pytest.raises(ValueError, match="tokenizer: must cut words at spaces"):
        encode_sentences(tokenizer, ["new york"], 9)


def test_empty_texts_are_the_class_token_alone():
    assert split(*encode_texts(TOKENIZER, ["", " ", "\0"], 9)) == [[CLS]] * 3
    assert split(*encode_texts(TOKENIZER, [], 9)) == []


def test_special_tokens_in_a_text_are_ordinary_characters():
    ids, _ = encode_texts(TOKENIZER, ["[CLS] [PAD]"], 99)
    assert CLS not in ids[1:] and 0 not in ids


def test_padding_and_truncation_do_not_interfere():
    """Padding and truncation of the tokenizer do not interfere."""
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


def test_a_small_memory_changes_nothing(monkeypatch):
    """Words that are forgotten and met again have the same ids."""
    texts = ["the wave", "lake " * 30, "", "waves 中"] * 20
    expected = encode_texts(TOKENIZER, texts, 16)
    monkeypatch.setattr(encoder_module, "KNOWN_WORDS", 2)
    encoder = Encoder(Vocabulary(TOKENIZER), 16)
    found = np.concatenate([encoder.encode([text]).ids for text in texts])
    assert np.array_equal(found, expected[0]) and len(encoder.words.strings) < 10


def test_a_text_of_a_million_characters():
    ids, offsets = encode_texts(TOKENIZER, ["wave " * 200_000, "x" * 1_000_000], 8)
    assert offsets.tolist() == [0, 8, 10] and ids[9] == 1


def test_max_tokens_must_leave_room_for_the_class_token():
    with pytest.raises(ValueError, match="max_tokens: must be at least 1"):
        encode_texts(TOKENIZER, ["a"], 0)
