"""Words in Python: the ids, names and refusals of the library's tokenizer, which is made only where it is needed."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from engine.data.encoder import Encoder
from engine.data.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from engine.data.vocabulary import Vocabulary
from engine.data.word_tokenizer import WordTokenizer, is_of_words
from engine.support.errors import UserError
from tests.support.examples import examples

TEXTS = ["Waves add, waves cancel", "a wave; a wave, Über [CLS] x x", "don't don't cancel cancel add [UNK] [UNK]"]
WORDS = [
    "waves",
    "Waves",
    "a",
    "über",
    "Über",
    "[CLS]",
    "[UNK]",
    "x",
    "unseen",
    "don't",
    ",",
    "日本",
    "e\u0301",
    "\x00",
    "",
]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """(the library's tokenizer of a file, that in Python)."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    save_tokenizer(train_tokenizer(TEXTS * 2, 40, "words"), path)
    return load_tokenizer(path), load_tokenizer(path, words_in_python=True)


@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), max_size=4))
@examples(60)
def test_the_same_ids(both, texts):
    found = [Encoder(Vocabulary(tokenizer), 9).encode(texts) for tokenizer in both]
    assert np.array_equal(found[0].ids, found[1].ids) and np.array_equal(found[0].offsets, found[1].offsets)
    assert isinstance(both[1], WordTokenizer) and "whole" not in vars(both[1])


def test_many_words_are_looked_up_at_once(both, monkeypatch):
    monkeypatch.setattr("engine.data.encoder.FEW_PIECES", 0)
    found = [Encoder(Vocabulary(tokenizer), 99).encode(TEXTS).ids.tolist() for tokenizer in both]
    assert found[0] == found[1] and "whole" not in vars(both[1])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), lambda x: x])
def test_what_only_the_library_can_do(both, copied):
    library, in_python = both[0], copied(WordTokenizer(both[1].saved))
    in_python.encode_special_tokens = library.encode_special_tokens = True
    assert "whole" not in vars(in_python)
    assert in_python.to_str() == library.to_str() and in_python.id_to_token(4) == library.id_to_token(4)
    assert in_python.encode("[CLS] waves").ids == library.encode("[CLS] waves").ids
    in_python.encode_special_tokens = library.encode_special_tokens = False
    assert in_python.encode("[CLS] waves").ids == library.encode("[CLS] waves").ids
    for tokenizer in (library, in_python):
        tokenizer.enable_truncation(1)
        tokenizer.no_truncation()
    assert in_python.encode("waves add").ids == library.encode("waves add").ids
    in_python.get_vocab().clear()
    assert in_python.get_vocab() == library.get_vocab() and in_python.get_vocab_size() == library.get_vocab_size()
    assert in_python.token_to_id("waves") == library.token_to_id("waves") and in_python.token_to_id("no") is None
    with pytest.raises(AttributeError):
        in_python.no_such_thing  # noqa: B018


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["model"].update(type="WordPiece"),
        lambda saved: saved["model"].update(unk_token="[CLS]"),
        lambda saved: saved["model"]["vocab"].pop("[UNK]"),
        lambda saved: saved["model"]["vocab"].update(waves=4.0),
        lambda saved: saved["model"]["vocab"].update(waves=True),
        lambda saved: saved.update(normalizer=None),
        lambda saved: saved["pre_tokenizer"].update(type="Whitespace"),
        lambda saved: saved["added_tokens"][0].update(special=False),
        lambda saved: saved["added_tokens"][0].update(id=77),
        lambda saved: saved["added_tokens"][0].update(content="elsewhere"),
    ],
)
def test_other_tokenizers_are_the_librarys(both, change):
    saved = json.loads(both[0].to_str())
    assert is_of_words(saved)
    change(saved)
    assert not is_of_words(saved)


def test_gaps_among_ids_are_refused(both, tmp_path):
    saved = json.loads(both[0].to_str())
    saved["model"]["vocab"]["waves"] = 1000
    (tmp_path / "gap.json").write_text(json.dumps(saved))
    for words_in_python in (False, True):
        with pytest.raises(UserError, match="token ids are not 0 to"):
            load_tokenizer(tmp_path / "gap.json", words_in_python)


@pytest.mark.parametrize("word, number", [("waves", 2**70), ("\ud800", 9)])
def test_words_that_the_library_would_refuse(both, tmp_path, word, number):
    saved = json.loads(both[0].to_str())
    saved["model"]["vocab"][word] = number
    (tmp_path / "odd.json").write_text(json.dumps(saved))
    for words_in_python in (False, True):
        with pytest.raises(UserError, match="is no tokenizer.json that can be used"):
            load_tokenizer(tmp_path / "odd.json", words_in_python)


def test_what_decides_no_id_is_left_out(both, tmp_path):
    saved = json.loads(both[0].to_str())
    saved["truncation"] = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    (tmp_path / "cut.json").write_text(json.dumps(saved))
    found = load_tokenizer(tmp_path / "cut.json", words_in_python=True)
    assert isinstance(found, WordTokenizer) and found.truncation is None and isinstance(found.whole, Tokenizer)
