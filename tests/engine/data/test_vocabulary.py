"""All kinds of tokens together: encoding, names, and the files of a run."""

import numpy as np
import pytest
from tokenizers import AddedToken

from engine.data.char_ngrams import CharNGramVocabulary, learn_char_ngrams
from engine.data.tokenizer import train_tokenizer
from engine.data.vocabulary import Vocabulary, load_vocabulary, save_vocabulary
from engine.support.errors import UserError
from tests.support.encoding import encode, encode_texts, learn_affixes, learn_ngrams, words_in

TEXTS = ["the red wave", "the red lake", "a red wave"] * 2


@pytest.fixture
def vocabulary():
    tokenizer = train_tokenizer(TEXTS, 60)
    return Vocabulary(tokenizer, learn_ngrams(*encode_texts(tokenizer, TEXTS, 9), 3, 2, 1000))


def with_parts(vocabulary, texts):
    """The vocabulary with the affixes and character n-grams of texts."""
    affixes = learn_affixes(vocabulary.tokenizer, texts)
    char_ngrams = learn_char_ngrams(words_in(vocabulary.tokenizer, texts), range(6, 8), 2, 1000)
    return vocabulary._replace(affixes=affixes, char_ngrams=char_ngrams)


def test_names_are_those_of_the_ids(vocabulary):
    ids, offsets, *_ = encode(vocabulary, ["a red wave", "lake red wave"], 9)
    assert vocabulary.names(ids[: offsets[1]]) == [
        "[CLS]",
        "a",
        "red",
        "wave",
        "[CLS]_a",
        "a_red",
        "red_wave",
        "[CLS]_a_red",
        "a_red_wave",
    ]
    assert vocabulary.names(ids[offsets[1] :]) == ["[CLS]", "lake", "red", "wave", "red_wave"]
    assert (
        ids.max() < vocabulary.size() == vocabulary.tokenizer.get_vocab_size() + 11
    )  # the red, red wave, red lake, a red; three triples; two beginnings of each length


def test_affixes_stand_behind_ngrams(vocabulary):
    both = vocabulary._replace(affixes=learn_affixes(vocabulary.tokenizer, ["walking talking", "walked lakes"]))
    assert both.affixes.known == ["-ing"]
    ids, offsets, *_ = encode(both, ["a red wave", "baking a red baking", ""], 9)
    texts = [both.names(ids[start:stop]) for start, stop in zip(offsets, offsets[1:])]
    assert texts[0] == vocabulary.names(encode(vocabulary, ["a red wave"], 9)[0])
    assert texts[1][-3:] == ["a_red", "-ing", "-ing"] and texts[2] == ["[CLS]"]
    assert ids.max() == both.size() - 1 == vocabulary.size()
    alone = Vocabulary(vocabulary.tokenizer, None, both.affixes)
    assert (
        alone.names(encode(alone, ["a baking"], 9)[0])[-1:] == ["-ing"]
        and alone.size() == vocabulary.tokenizer.get_vocab_size() + 1
    )


def test_char_ngrams_stand_behind_affixes(vocabulary):
    texts = ["walking talking talked", "walked lakes"]
    whole = with_parts(vocabulary, texts)._replace(char_ngrams=CharNGramVocabulary(["<ba", "ing>", "kin"]))
    ids, offsets, *_ = encode(whole, ["a baking", "", "king"], 9)
    found = [whole.names(ids[start:stop]) for start, stop in zip(offsets, offsets[1:])]
    assert (
        found[0][-4:] == ["-ing", "<ba", "ing>", "kin"] and found[1] == ["[CLS]"] and found[2][-2:] == ["ing>", "kin"]
    )
    assert ids.max() == whole.size() - 1 == whole._replace(char_ngrams=None).size() + 2


def test_the_unknown_are_a_share_of_the_tokens_alone(vocabulary):
    ids, *_ = encode(vocabulary, ["a red wave", "\u2603 red"], 9)
    assert (ids == vocabulary.tokenizer.token_to_id("[UNK]")).sum() == 1 and len(ids) > 7
    assert vocabulary.unknown_share(ids) == 1 / 7 and vocabulary.unknown_share(ids[:0]) == 0


def test_without_ngrams_ids_are_those_of_the_tokenizer(vocabulary):
    plain = Vocabulary(vocabulary.tokenizer)
    assert encode(plain, TEXTS, 3)[0].tolist() == encode_texts(plain.tokenizer, TEXTS, 3)[0].tolist()
    assert plain.size() == plain.tokenizer.get_vocab_size() and plain.names(encode(plain, ["red"], 3)[0]) == [
        "[CLS]",
        "red",
    ]


def test_ngrams_are_of_the_tokens_that_max_tokens_leaves(vocabulary):
    assert vocabulary.names(encode(vocabulary, ["a red wave"], 3)[0]) == [
        "[CLS]",
        "a",
        "red",
        "[CLS]_a",
        "a_red",
        "[CLS]_a_red",
    ]


def test_sentences_are_encoded_where_they_are_asked_for(vocabulary):
    plain = Vocabulary(vocabulary.tokenizer)
    texts = ["A red wave. The red lake.", "a wave"]
    without, batch = encode(plain, texts, 9), encode(plain._replace(sentences=True), texts, 9)
    assert without.sentence_offsets is None and batch.sentence_offsets.tolist() == [0, 5, 9, 12]
    assert np.array_equal(batch.ids, without.ids) and np.array_equal(batch.offsets, without.offsets)
    parts = with_parts(plain, ["walking talking"])
    for other in (vocabulary, parts._replace(char_ngrams=None), parts._replace(affixes=None)):
        with pytest.raises(ValueError, match="sentences: n-grams and affixes do not stand in them"):
            encode(other._replace(sentences=True), texts, 9)


@pytest.fixture
def files(tmp_path):
    return [tmp_path / name for name in ("tokenizer.json", "ngrams.safetensors", "affixes.json", "char_ngrams.json")]


def test_what_is_saved_is_loaded(vocabulary, files):
    vocabulary = with_parts(vocabulary, ["Übergrößen, großen", "walking talking"])
    save_vocabulary(vocabulary, *files)
    loaded = load_vocabulary(*files, 3, True, True)
    assert np.array_equal(loaded.ngrams.hashes, vocabulary.ngrams.hashes) and loaded.ngrams.longest == 3
    assert loaded.affixes == vocabulary.affixes and len(loaded.affixes.known) == 2
    assert loaded.char_ngrams == vocabulary.char_ngrams and "großen" in loaded.char_ngrams.known
    texts = [*TEXTS, "wälking großen"]
    assert [x.tolist() for x in encode(loaded, texts, 9)[:2]] == [x.tolist() for x in encode(vocabulary, texts, 9)[:2]]


def test_only_what_there_is_is_written(vocabulary, files):
    save_vocabulary(Vocabulary(vocabulary.tokenizer), *files)
    assert [file.exists() for file in files] == [True, False, False, False]
    assert load_vocabulary(*files, 1, False)[1:] == (None, None, False, None)


def test_a_run_of_sentences_needs_a_tokenizer_that_shows_them(vocabulary, files):
    plain = Vocabulary(vocabulary.tokenizer)
    save_vocabulary(plain, *files)
    assert load_vocabulary(*files, 1, False, sentences=True).sentences
    plain.tokenizer.add_tokens([AddedToken("red wave")])
    save_vocabulary(plain, *files)
    with pytest.raises(UserError, match="tokenizer.json: this tokenizer does not cut words at spaces"):
        load_vocabulary(*files, 1, False, sentences=True)
    assert not load_vocabulary(*files, 1, False).sentences


@pytest.mark.parametrize("content", [None, b"", b"x" * 40, b'{"a": 1}', b'["a", 1]', b'["\xff"]', b"[" * 100_000])
@pytest.mark.parametrize("damaged, name", [(0, "tokenizer"), (1, "n-grams"), (2, "affixes"), (3, "character n-grams")])
def test_a_damaged_file_is_named_in_one_line(vocabulary, files, content, damaged, name):
    save_vocabulary(with_parts(vocabulary, ["walking talking"]), *files)
    files[damaged].unlink()
    if content is not None:
        files[damaged].write_bytes(content)
    with pytest.raises(
        UserError,
        match=rf"{files[damaged].name}: the {name} of the run cannot be read .*; restore the file or train again$",
    ) as caught:
        load_vocabulary(*files, 3, True, True)
    assert str(caught.value).startswith(f"{files[damaged]}: ") and str(caught.value).count("; ") == 1


def test_a_tokenizer_that_is_cut_says_where(vocabulary, files):
    save_vocabulary(vocabulary, *files)
    for content, reason in (
        (None, "no such file"),
        ("", "the vocabulary has no token"),
        (files[0].read_text()[:-40], "is no tokenizer.json that can be used"),
    ):
        files[0].unlink() if content is None else files[0].write_text(content)
        with pytest.raises(UserError, match=rf"tokenizer.json: the tokenizer of the run cannot be read \({reason}"):
            load_vocabulary(*files, 3, False)
        save_vocabulary(vocabulary, *files)
    files[0].write_bytes(b"[UNK]\n\xff")
    with pytest.raises(
        UserError,
        match=r"tokenizer.json: the tokenizer of the run cannot be read \(line 2: byte 0xff is not UTF-8\); restore",
    ):
        load_vocabulary(*files, 3, False)
