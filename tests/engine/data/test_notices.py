"""Notices on texts that are cut, unknown, few or twice there."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.data.config import DataConfig
from engine.data.encoder import Encoder
from engine.data.notices import HashedSource, duplicates_notice, few_notice, percent
from engine.data.prepare import prepare
from engine.data.texts import Corpus, LabelledTexts
from engine.data.vocabulary import Vocabulary


def texts(*rows):
    """LabelledTexts of "label text" strings."""
    pairs = [row.split(" ", 1) for row in rows]
    return LabelledTexts([text for _, text in pairs], [label for label, _ in pairs])


TRAIN = texts(*[f"{'ab'[i % 2]} red green w{i} w{i}" for i in range(24)])
KNOWN = {"tokens": "words", "validation_fraction": 0.0, "vocabulary_size": 100}


def notes(tmp_path, corpus, **fields):
    """The lines that prepare() logs for a corpus."""
    lines = []
    prepare(DataConfig(**{**KNOWN, **fields}), corpus, seed=0, cache_dir=tmp_path / "cache", log=lines.append)
    return lines


def test_texts_without_a_fault_are_not_told_of(tmp_path):
    assert notes(tmp_path, Corpus("c", TRAIN, test=texts("a red green"))) == []


@pytest.mark.parametrize(
    "corpus, fields, words",
    [
        (
            Corpus("c", TRAIN, test=texts("a red green red w1 w2", "b green", "b red")),
            {"max_tokens": 4},
            # [CLS] counts: 24 texts of 5 tokens, and one of 6 beside two of 2
            "cut after max_tokens=4: 24 of 24 training texts (100.0 %; 20.0 % of all tokens lost), "
            "1 of 3 test texts (33.3 %; 20.0 % of all tokens lost)",
        ),
        (
            Corpus("c", TRAIN, texts("b red"), texts("a red blue", "b pink grey")),
            {},
            "unknown words: 0.0 % of the training tokens, 0.0 % of the validation tokens, 50.0 % of the test tokens; "
            "with tokens=wordpieces they fall into pieces that are known",
        ),
        (
            Corpus("c", TRAIN, test=texts("a 北京", "b 北京")),
            {"tokens": "wordpieces"},
            "unknown words: 0.0 % of the training tokens, 66.7 % of the test tokens; "
            "they hold characters that the training texts lack",
        ),
        (
            Corpus("c", texts(*["a red", "b red"] * 10, "c red", "c green", "'d' green")),
            {},
            "few texts: 2 of 4 classes have fewer than 10 training texts (3 together, 13.0 % of all): \"'d'\" 1, 'c' 2",
        ),
        (
            Corpus("c", TRAIN, texts("a red green w0 w0"), texts("b red green w3 w3", "a red  green w3 w3", "a red")),
            {},
            "duplicates: 1 of 1 validation texts (100.0 %) and 1 of 3 test texts (33.3 %) are training texts, too",
        ),
    ],
    ids=["cut", "unknown words", "unknown characters", "few", "duplicates"],
)
def test_the_line_of_each_notice(tmp_path, corpus, fields, words):
    """A label does not make a duplicate another text; a space does. Kept tokens have their notices with them."""
    for _ in range(2):
        assert notes(tmp_path, corpus, **fields) == [words]


def test_a_tokenizer_that_does_not_fit_is_left_out(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "red": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "own.json"))
    (line,) = notes(tmp_path, Corpus("c", TRAIN), tokenizer=str(tmp_path / "own.json"))
    assert line.startswith("unknown words: 60.0 % of the training tokens; without --tokenizer")


def test_texts_that_are_split_off_are_compared_with_the_rest(tmp_path):
    twice = texts(*[f"{label} {word}" for label in "ab" for word in "red green".split() for _ in range(10)])
    (line,) = notes(tmp_path, Corpus("c", twice), validation_fraction=0.1)
    assert line == "duplicates: 4 of 4 validation texts (100.0 %) are training texts, too"


def test_of_many_small_classes_three_are_named():
    names = [f"class {number}" for number in range(1002)]
    labels = np.repeat(np.arange(1002), [1000, 1000, *[9] * 999, 4])
    assert few_notice(names, labels) == (
        "few texts: 1,000 of 1,002 classes have fewer than 10 training texts (8,995 together, 81.8 % of all): "
        "'class 1001' 4, 'class 2' 9, 'class 3' 9 and 997 more"
    )
    assert few_notice(names[:2], labels[:2000]) is None


def test_a_text_with_two_rare_labels_is_counted_once():
    sets = np.zeros((50, 3), bool)
    sets[:, 0] = sets[:4, 1] = sets[2:9, 2] = True
    assert few_notice(["a", "b", "c"], sets) == (
        "few texts: 2 of 3 classes have fewer than 10 training texts (9 together, 18.0 % of all): 'b' 4, 'c' 7"
    )


def test_hashes_are_those_of_the_last_reading():
    source = HashedSource(TRAIN)
    for _ in range(2):
        read = [block for block in source.blocks()]
    assert len(read) == 1 and len(np.unique(source.hashes())) == len(source.hashes()) == len(TRAIN)
    assert source.digest() == TRAIN.digest() and source.source == TRAIN.source
    assert duplicates_notice({"train": source.hashes()}, source.hashes()) is None


def test_cut_texts_are_counted_once(tmp_path):
    """By words and by a tokenizer that looks beyond them."""
    for pre_tokenizer in (pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(" ", "merged_with_previous")):
        tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "a": 2}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizer
        encoder = Encoder(Vocabulary(tokenizer), 3)
        batch = encoder.encode(["a a a a a", "a", "a a a"])
        assert np.diff(batch.offsets).tolist() == [3, 2, 3]
        assert encoder.cut.take() == (2, 4) and encoder.cut.take() == (0, 0)


@pytest.mark.parametrize(
    "part, whole, text", [(0, 5, "0.0 %"), (1, 10_000, "<0.1 %"), (1, 3, "33.3 %"), (3, 3, "100.0 %"), (0, 0, "0.0 %")]
)
def test_small_shares_are_not_rounded_to_none(part, whole, text):
    assert percent(part, whole) == text
