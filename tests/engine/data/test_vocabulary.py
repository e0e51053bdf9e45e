"""Tokens and n-grams together: encoding, names, and the files of a run."""

import numpy as np
import pytest

from engine.data.ngrams import learn_ngrams
from engine.data.tokenizer import encode_texts, train_tokenizer
from engine.data.vocabulary import Vocabulary, load_vocabulary, save_vocabulary
from engine.errors import UserError

TEXTS = ["the red wave", "the red lake", "a red wave"] * 2


@pytest.fixture
def vocabulary():
    tokenizer = train_tokenizer(TEXTS, 60)
    return Vocabulary(tokenizer, learn_ngrams(*encode_texts(tokenizer, TEXTS, 9), 3, 2, 1000))


def test_names_are_those_of_the_ids(vocabulary):
    ids, offsets = vocabulary.encode(["a red wave", "lake red wave"], 9)
    assert vocabulary.names(ids[: offsets[1]]) == ["[CLS]", "a", "red", "wave", "[CLS]_a", "a_red", "red_wave", "[CLS]_a_red", "a_red_wave"]
    assert vocabulary.names(ids[offsets[1] :]) == ["[CLS]", "lake", "red", "wave", "red_wave"]
    assert ids.max() < vocabulary.size() == vocabulary.tokenizer.get_vocab_size() + 11  # the red, red wave, red lake, a red; three triples; two beginnings of each length


def test_without_ngrams_ids_are_those_of_the_tokenizer(vocabulary):
    plain = Vocabulary(vocabulary.tokenizer)
    assert plain.encode(TEXTS, 3)[0].tolist() == encode_texts(plain.tokenizer, TEXTS, 3)[0].tolist()
    assert plain.size() == plain.tokenizer.get_vocab_size() and plain.names(plain.encode(["red"], 3)[0]) == ["[CLS]", "red"]


def test_ngrams_are_of_the_tokens_that_max_tokens_leaves(vocabulary):
    assert vocabulary.names(vocabulary.encode(["a red wave"], 3)[0]) == ["[CLS]", "a", "red", "[CLS]_a", "a_red", "[CLS]_a_red"]


def test_what_is_saved_is_loaded(vocabulary, tmp_path):
    files = tmp_path / "tokenizer.json", tmp_path / "ngrams.safetensors"
    save_vocabulary(vocabulary, *files)
    loaded = load_vocabulary(*files, 3)
    assert np.array_equal(loaded.ngrams.hashes, vocabulary.ngrams.hashes) and loaded.ngrams.longest == 3
    assert [x.tolist() for x in loaded.encode(TEXTS, 9)] == [x.tolist() for x in vocabulary.encode(TEXTS, 9)]


@pytest.mark.parametrize("content", [None, b"", b"x" * 40])
def test_a_damaged_file_is_named_in_one_line(vocabulary, tmp_path, content):
    files = tmp_path / "tokenizer.json", tmp_path / "ngrams.safetensors"
    save_vocabulary(vocabulary, *files)
    files[1].unlink()
    if content is not None:
        files[1].write_bytes(content)
    with pytest.raises(UserError, match=r"ngrams\.safetensors: the n-grams of the run cannot be read .*train again"):
        load_vocabulary(*files, 3)
