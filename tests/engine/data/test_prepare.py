"""From files to token ids: splits, classes, and a fingerprint that tells data apart."""

import hashlib

import numpy as np
import pytest
from tokenizers import AddedToken

from engine.data import learning
from engine.data import texts as texts_module
from engine.data.batching import split_validation
from engine.data.config import DataConfig
from engine.data.learning import char_ngrams_of
from engine.data.prepare import encode_labelled, encode_plain_texts, prepare
from engine.data.reading import count_classes, read_corpus, read_test_texts
from engine.data.texts import Corpus, LabelledTexts
from engine.data.tokenizer import save_tokenizer, train_tokenizer
from engine.support.errors import UserError
from tests.support.encoding import encode, encode_texts, learn_affixes, learn_ngrams, words_in

WORDS = "red green blue one two three".split()


def labelled(count, labels=("a", "b"), seed=0):
    """Texts of two to five words whose labels take turns."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 6))) for _ in range(count)]
    return LabelledTexts(texts, [labels[i % len(labels)] for i in range(count)])


def config(**values):
    return DataConfig(vocabulary_size=100, **values)


def texts_of(data, batch):
    """What the token ids of a split say, text by text, in lower case and without [CLS]."""
    bounds = batch.offsets.tolist()
    return [
        data.vocabulary.tokenizer.decode(batch.ids[a:b].tolist(), skip_special_tokens=True).replace(" ##", "")
        for a, b in zip(bounds, bounds[1:])
    ]


def test_validation_is_split_off_and_nothing_is_lost():
    """Validation is split off the training texts and nothing is lost."""
    corpus = Corpus("tiny", labelled(40), test=labelled(10, seed=1))
    data = prepare(config(validation_fraction=0.2), corpus, seed=3)
    assert (data.name, data.classes) == ("tiny", ["a", "b"])
    assert np.bincount(data.validation.labels).tolist() == [4, 4] and np.bincount(data.train.labels).tolist() == [
        16,
        16,
    ]
    assert sorted(texts_of(data, data.train) + texts_of(data, data.validation)) == sorted(corpus.train.texts)
    assert texts_of(data, data.test) == corpus.test.texts and data.test.labels.tolist() == [0, 1] * 5
    assert not np.array_equal(
        prepare(config(validation_fraction=0.2), corpus, seed=4).validation.ids, data.validation.ids
    )


def test_the_vocabulary_is_that_of_the_texts_left_for_training():
    names = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"]
    corpus = Corpus("tiny", LabelledTexts([f"{name} {name}" for name in names], ["a", "b"] * 5))
    data = prepare(config(validation_fraction=0.2), corpus, seed=0)
    whole = {name for name in names if data.vocabulary.tokenizer.token_to_id(name) is not None}
    assert len(data.train.labels) == 8 and whole == {text.split()[0] for text in texts_of(data, data.train)}
    data = prepare(config(validation_fraction=0), corpus, seed=0)
    assert all(data.vocabulary.tokenizer.token_to_id(name) is not None for name in names)


WORDY = {"tokens": "words", "ngrams": 2, "ngram_frequency": 1, "affixes": True, "char_ngrams": "3-5"}


def affixed(count):
    """Texts of two long words each, of which several begin and end alike."""
    rng = np.random.default_rng(0)
    words = [
        begin + end
        for begin in "calling walking talking running cooking reading singing".split()
        for end in ("away", "there", "home")
    ]
    return LabelledTexts([" ".join(rng.choice(words, 2)) for _ in range(count)], ["a", "b"] * (count // 2))


def test_ngrams_and_affixes_come_from_the_texts_left():
    """N-grams, affixes and character n-grams are those of the texts left for training."""
    corpus = Corpus("tiny", affixed(20))
    data = prepare(config(validation_fraction=0.4, **WORDY), corpus, seed=0)
    kept, held_out = split_validation(np.array([0, 1] * 10), 0.4, 0)
    texts = [corpus.train.texts[row] for row in kept]
    tokenizer = data.vocabulary.tokenizer
    assert data.vocabulary.affixes == learn_affixes(tokenizer, texts) != learn_affixes(tokenizer, corpus.train.texts)
    pieces, said = words_in(tokenizer, texts), data.vocabulary.affixes
    assert data.vocabulary.char_ngrams == char_ngrams_of(config(**WORDY), pieces, said) and said.known
    of_texts = learn_ngrams(*encode_texts(tokenizer, texts, 9), 2, 1, 10**6)
    assert np.array_equal(data.vocabulary.ngrams.hashes, of_texts.hashes)
    assert len(of_texts.hashes) < len(learn_ngrams(*encode_texts(tokenizer, corpus.train.texts, 9), 2, 1, 10**6).hashes)
    for batch, rows in ((data.train, kept), (data.validation, held_out)):
        ids, offsets, *_ = encode(data.vocabulary, [corpus.train.texts[row] for row in rows], 256)
        assert np.array_equal(batch.ids, ids) and np.array_equal(batch.offsets, offsets)


def test_chunks_and_threads_change_nothing(tmp_path, monkeypatch):
    """Texts that come in many chunks to several threads have the same ids; those of the test texts have new words."""
    corpus = Corpus("tiny", affixed(60), test=LabelledTexts(["calling crying home", "new words"] * 9, ["a", "b"] * 9))
    expected = prepare(config(validation_fraction=0.4, **WORDY), corpus, 0, cache_dir=tmp_path / "a")
    monkeypatch.setattr(learning, "CHUNK_WORDS", 5)
    monkeypatch.setattr(learning, "cores", lambda: 4)
    monkeypatch.setattr(texts_module, "BLOCK_TEXTS", 7)
    found = prepare(config(validation_fraction=0.4, **WORDY), corpus, 0, cache_dir=tmp_path / "b")
    assert found.fingerprint() == expected.fingerprint()
    assert np.array_equal(found.test.ids, encode(found.vocabulary, corpus.test.texts, 256).ids)


@pytest.mark.parametrize("field, value", [
    ("tokens", "wordpieces"), ("ngrams", 1), ("ngram_frequency", 2), ("ngram_vocabulary_size", 3), ("affixes", False),
    ("char_ngrams", ""), ("char_ngrams", "3-3"), ("char_ngram_frequency", 4), ("char_ngram_vocabulary_size", 3),
])  # fmt: skip
def test_each_field_of_the_vocabulary_decides_it(field, value):
    corpus = Corpus("tiny", affixed(20))
    whole, other = (prepare(config(**{**WORDY, **more}), corpus, seed=0).vocabulary for more in ({}, {field: value}))
    assert whole.ngrams is not None and whole.affixes.known and "##" not in str(whole.tokenizer.get_vocab())
    assert other.size() != whole.size()
    lacking = [name for name in ("ngrams", "affixes", "char_ngrams") if getattr(other, name) is None]
    assert lacking == ([field] if value in (1, False, "") else [])


def test_given_validation_texts_leave_the_training_texts_whole():
    corpus = Corpus("tiny", labelled(20), labelled(6, seed=1))
    data = prepare(config(), corpus, seed=0)
    assert (
        texts_of(data, data.train) == corpus.train.texts and texts_of(data, data.validation) == corpus.validation.texts
    )
    assert data.test is None


def test_a_validation_fraction_of_zero_means_none():
    data = prepare(config(validation_fraction=0), Corpus("tiny", labelled(20)), seed=0)
    assert data.validation is None and len(data.train.labels) == 20


def test_texts_are_cut_after_max_tokens():
    data = prepare(config(max_tokens=3, validation_fraction=0), Corpus("tiny", labelled(20)), seed=0)
    assert np.diff(data.train.offsets).max() == 3


@pytest.mark.parametrize("split", ["validation", "test"])
def test_an_unknown_label_is_refused_with_its_place(split):
    """A label that training does not know is refused with its place."""
    other = LabelledTexts(["red", "blue"], ["a", "z"], "other.tsv", [1, 7])
    with pytest.raises(UserError, match="^other.tsv, line 7: label 'z' is not among the training classes 'a', 'b'"):
        prepare(config(), Corpus("tiny", labelled(20), **{split: other}), seed=0)


def test_too_few_texts_for_a_validation_split_are_refused():
    with pytest.raises(UserError, match="leaves no text for validation; raise validation_fraction"):
        prepare(config(), Corpus("tiny", labelled(4)), seed=0)


def fingerprint(corpus, seed=0, **values):
    return prepare(config(**values), corpus, seed).fingerprint()


def test_the_fingerprint_changes_with_any_of_the_data():
    """The fingerprint is the same for the same data and changes with any of them."""
    train, test = labelled(20), labelled(6, seed=1)
    base = Corpus("tiny", train, test=test)
    flipped = LabelledTexts(train.texts, [*train.labels[:-2], "b", "a"])
    reworded = LabelledTexts([*train.texts[:-1], "red red red red"], train.labels)
    others = [
        fingerprint(Corpus("tiny", flipped, test=test)),
        fingerprint(Corpus("tiny", flipped, test=test), validation_fraction=0),
        fingerprint(base, validation_fraction=0),
        fingerprint(Corpus("tiny", reworded, test=test)),
        fingerprint(Corpus("tiny", train, test=labelled(6, seed=2))),
        fingerprint(Corpus("tiny", train)),
        fingerprint(base, seed=1),
        fingerprint(base, max_tokens=3),
        fingerprint(base, validation_fraction=0.2),
    ]
    assert fingerprint(base) == fingerprint(Corpus("renamed", train, test=test))
    assert len({fingerprint(base), *others}) == len(others) + 1


def test_a_fingerprint_without_sentences_is_that_of_old_runs():
    data = prepare(config(), Corpus("tiny", labelled(20), test=labelled(6, seed=1)), seed=0)
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        for part in ("ids", "offsets", "labels"):
            array = getattr(getattr(data, name), part)
            digest.update(f"{name} {part} {array.dtype} {array.shape}".encode() + array.tobytes())
    assert data.fingerprint() == digest.hexdigest()


def sentenced(ending):
    """Texts that differ in the ends of their sentences alone."""
    return LabelledTexts([f"red green{ending}blue", "one two", f"two{ending}three. One", "green"] * 5, ["a", "b"] * 10)


def test_all_splits_have_sentences_where_they_are_asked_for():
    corpus = Corpus("tiny", sentenced("\n\n"), test=sentenced(" "))
    data = prepare(config(validation_fraction=0.2), corpus, seed=0, sentences=True)
    for batch, texts in ((data.test, corpus.test.texts), *splits_of(data, corpus, 0.2)):
        expected = encode(data.vocabulary, texts, 256)
        assert np.array_equal(batch.ids, expected.ids) and len(batch.labels) == len(texts)
        assert batch.sentence_offsets.tolist() == expected.sentence_offsets.tolist()
    assert len(data.test.sentence_offsets) == 1 + 25
    again = prepare(config(validation_fraction=0.2), corpus, 0, data.vocabulary)
    assert again.fingerprint() == data.fingerprint()
    plain = prepare(config(validation_fraction=0.2), corpus, 0)
    assert plain.test.sentence_offsets is plain.train.sentence_offsets is None
    moved = prepare(
        config(validation_fraction=0.2), Corpus("tiny", corpus.train, test=corpus.train), 0, None, None, True
    )
    assert np.array_equal(moved.test.ids, data.test.ids)
    assert len({found.fingerprint() for found in (data, plain, moved)}) == 3


def splits_of(data, corpus, fraction):
    kept, held_out = split_validation(np.array([0, 1] * 10), fraction, 0)
    for batch, rows in ((data.train, kept), (data.validation, held_out)):
        yield batch, [corpus.train.texts[row] for row in rows]


def test_a_tokenizer_that_hides_sentences_is_refused(tmp_path):
    tokenizer, path = train_tokenizer(labelled(20).texts, 60), str(tmp_path / "a.json")
    tokenizer.add_tokens([AddedToken("red green")])
    save_tokenizer(tokenizer, path)
    prepare(config(tokenizer=path), Corpus("tiny", labelled(20)), seed=0)
    with pytest.raises(UserError, match="a.json: this tokenizer does not cut words at spaces"):
        prepare(config(tokenizer=path), Corpus("tiny", labelled(20)), seed=0, sentences=True)


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        (tmp_path / name).write_text(content, encoding="utf-8")
        return str(tmp_path / name)

    return write_file


TSV = "a\tred green\nb\tblue one\na\ttwo\nb\tthree\n"


def test_files_are_read_with_a_note_each(write):
    files = {f"{split}_file": write(f"{split}.tsv", TSV) for split in ("train", "validation", "test")}
    corpus, notes = read_corpus(config(**files))
    assert corpus.name == "train.tsv" and corpus.train.texts == corpus.test.texts == [
        "red green",
        "blue one",
        "two",
        "three",
    ]
    assert [
        note.startswith(f"{split}: {files[f'{split}_file']}: ")
        for split, note in zip(("train", "validation", "test"), notes)
    ] == [True] * 3
    assert count_classes(config(**files)) == 2


def test_columns_can_be_named(write):
    path = write("a.csv", "kind,title,extra,body\na,red,x,green\nb,blue,x,one\n")
    corpus, _ = read_corpus(config(train_file=path, text_columns="title, body", label_column="kind"))
    assert corpus.train.texts == ["red green", "blue one"] and corpus.train.labels == ["a", "b"]


def test_a_single_class_is_refused(write):
    path = write("a.tsv", "a\tred\na\tblue\n")
    with pytest.raises(
        UserError, match="a.tsv: the training labels hold only the class 'a'; give at least two classes"
    ):
        read_corpus(config(train_file=path))


@pytest.mark.parametrize("name", ["validation_file", "test_file"])
def test_other_files_without_training_texts_are_refused(name):
    with pytest.raises(UserError, match="--validation-file and --test-file go with --train-file"):
        read_corpus(config(**{name: "a.tsv"}))


def test_an_unknown_corpus_is_refused_with_the_names():
    for ask in (read_corpus, count_classes):
        with pytest.raises(UserError, match="corpus 'r9' is unknown: use one of r8, r52, 20ng"):
            ask(config(corpus="r9"))


def test_test_texts_come_from_a_file_or_the_runs_corpus(write):
    """Texts to measure come from a file or from the run's own corpus."""
    own, other = write("test.tsv", "b\ttwo\n"), write("other.tsv", "a\tred\nb\tblue\n")
    files = config(train_file=write("train.tsv", TSV * 3), test_file=own)
    data = prepare(files, read_corpus(files)[0], seed=0)
    for path, texts, labels in ((None, ["two"], [1]), (other, ["red", "blue"], [0, 1])):
        found, note = read_test_texts(files, path)
        batch = encode_labelled(files, data.vocabulary, data.classes, found)
        assert texts_of(data, batch) == texts and batch.labels.tolist() == labels and note
    assert texts_of(data, encode_plain_texts(files, data.vocabulary, ["one", "", "red"])) == ["one", "", "red"]
    with pytest.raises(UserError, match="trained without test texts; give some with --test-file"):
        read_test_texts(files.replace(test_file=""))
