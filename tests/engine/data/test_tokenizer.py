"""Training, loading and saving of tokenizers."""

import json
import subprocess
import sys

import pytest

from engine.data.config import TOKENS
from engine.data.tokenizer import SPECIAL_TOKENS, load_tokenizer, save_tokenizer, train_tokenizer
from engine.support.errors import UserError
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
def test_training_is_repeatable_across_processes_even_where_all_is_tied(tokens):
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


def test_words_are_those_that_occur_twice_the_most_frequent_of_them_and_others_unknown():
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


def test_pieces_within_words_are_found_next_to_every_kind_of_space():
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
    path.write_bytes("[PAD]\r\n[UNK]\r\n[CLS]\r\n[unused1]\r\nwave\r\n##s\r\n".encode())
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


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_tokenizer(tmp_path / "vocab.txt")
