"""Texts with several labels, or none: cells, files, the matrix of classes, and the split for validation."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data import blocks as blocks_module
from engine.data.batching import split_validation, take
from engine.data.config import DataConfig
from engine.data.files import read_texts
from engine.data.label_sets import LabelCells, strata
from engine.data.prepare import prepare
from engine.data.reading import open_corpus, read_corpus
from engine.data.texts import LABEL_END, LabelledTexts, class_names, encode_label_sets, names_in
from engine.support.errors import UserError

LABELS = ["", "sports", "politics;sports", "café;politics"]
JSON_LISTS = ["[]", '["sports"]', '["sports", "politics"]', '["politics", "café"]']
TEXTS = ["no news", "a goal", "the vote on the stadium", "votes and coffee"]


@pytest.fixture
def write(tmp_path):
    """Writes a file and returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return str(path)

    return write_file


def quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


def sets_of(path, **options):
    """The set of labels of each text of a file."""
    data, _ = read_texts(path, **{"separator": ";", **options})
    return [set(names_in(label)) for label in data.labels]


FILES = {
    "separator": ("a.csv", "text,labels\n" + "".join(f"{t},{x}\n" for t, x in zip(TEXTS, LABELS)), {}),
    "spaces and doubles": (
        "a.csv",
        f"text,labels\n{TEXTS[0]}, ; \n{TEXTS[1]},sports; sports\n{TEXTS[2]},;sports ;politics\n"
        f"{TEXTS[3]}, politics;café;\n",
        {},
    ),
    "JSON lists in CSV": (
        "a.csv",
        "text,labels\n" + "".join(f"{t},{quoted(x)}\n" for t, x in zip(TEXTS, JSON_LISTS)),
        {},
    ),
    "TSV": ("a.tsv", "".join(f"{x}\t{t}\n" for t, x in zip(TEXTS, LABELS)), {"label_column": 1}),
    "JSON lines": (
        "a.jsonl",
        "".join(json.dumps({"text": t, "labels": json.loads(x)}) + "\n" for t, x in zip(TEXTS, JSON_LISTS)),
        {},
    ),
    "JSON lines of strings and null": (
        "a.jsonl",
        "".join(json.dumps({"text": t, "labels": x or None}) + "\n" for t, x in zip(TEXTS, LABELS)),
        {},
    ),
    "columns of 0 and 1": (
        "a.csv",
        "text,sports,id,politics,café\nno news,0,1,0,0.0\na goal,1,2,0,0\n"
        "the vote on the stadium,1,3,1,0\nvotes and coffee,0,4,1,1.0\n",
        {"label_columns": ["sports", "politics", "café"]},
    ),
    "columns of truth values": (
        "a.jsonl",
        "".join(
            json.dumps({"text": t, **{name: name in x for name in ("sports", "politics", "café")}}) + "\n"
            for t, x in zip(TEXTS, LABELS)
        ),
        {"label_columns": ["sports", "politics", "café"]},
    ),
}


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("block", [40, 1 << 20])
def test_labels_are_read_from_any_form(write, form, block, monkeypatch):
    """Whatever the blocks, and whether their rows are regular or not."""
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", block)
    name, content, options = FILES[form]
    expected = [set(filter(None, labels.split(";"))) for labels in LABELS]
    assert sets_of(write(name, content), **options) == expected
    if name == "a.csv":
        irregular = 'say "no"' + ",0" * content.split("\n")[0].count(",")
        assert sets_of(write("b.csv", f"{content}{irregular}\n"), **options)[:4] == expected


def test_columns_without_names_are_labels_by_position(write):
    path = write("a.csv", "a goal,1,0\na vote,0,1\n")
    assert sets_of(path, text_columns=[1], label_columns=[2, 3]) == [{"2"}, {"3"}]


def test_equal_sets_are_equal_strings(write):
    data, note = read_texts(write("a.csv", "text,labels\nx,b;a\ny,a;b;a\nz,\n"), separator=";")
    assert data.labels == [f"a{LABEL_END}b", f"a{LABEL_END}b", ""] and "labels: 'labels' (column 2)" in note


WRONG = {
    "a broken list": (
        "a.csv",
        'text,labels\nx,a\ny,"[""a"", b]"\n',
        {},
        "line 3: the labels '[\"a\", b]' are no JSON list",
    ),
    "a list of lists": (
        "a.jsonl",
        '{"text": "x", "labels": [["a"]]}\n',
        {},
        "line 1: the labels '[[\"a\"]]' are no JSON",
    ),
    "an object": ("a.jsonl", '{"text": "x", "labels": {"a": 1}}\n', {}, "line 1: 'labels' (column 2) holds {'a': 1}"),
    "a bell": ("a.csv", "text,labels\nx,a;\x07\n", {}, "line 2: the label '\\x07' holds a character that"),
    "neither 0 nor 1": (
        "a.csv",
        "text,a,b\nx,0,1\ny,1,2\n",
        {"label_columns": ["a", "b"]},
        "line 3: the column 'b' holds '2'; give 0 or 1",
    ),
    "empty": (
        "a.csv",
        "text,a,b\nx,0,\n",
        {"label_columns": ["a", "b"]},
        "line 2: the column 'b' holds ''; give 0 or 1",
    ),
    "no such column": ("a.csv", "text,a\nx,0\n", {"label_columns": ["c"]}, "no column is named 'c'"),
    "text and label": (
        "a.csv",
        "text,a\nx,0\n",
        {"text_columns": ["text"], "label_columns": ["a", "text"]},
        "'text' (column 1) is among the text columns and the label columns; take it out of one",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_cells_are_named_in_one_line(write, what):
    name, content, options, message = WRONG[what]
    path = write(name, content)
    with pytest.raises(UserError) as caught:
        read_texts(path, **{"separator": ";", **options})
    assert message in str(caught.value) and str(caught.value).startswith(path) and "\n" not in str(caught.value)


def test_one_label_a_text_stays_as_it_is(write):
    """A separator or a list in a label is a part of its name."""
    data, _ = read_texts(write("a.csv", 'text,label\nx,a;b\ny,"[""a""]"\n'))
    assert data.labels == ["a;b", '["a"]']


def test_sets_become_rows_of_classes():
    texts = LabelledTexts(["x", "y", "z"], [f"a{LABEL_END}c", "", "b"], "train.csv", [2, 3, 4])
    assert class_names(texts) == ["a", "b", "c"]
    found = encode_label_sets(texts.labels, ["a", "b", "c"], texts)
    assert found.dtype == bool and found.tolist() == [[True, False, True], [False] * 3, [False, True, False]]
    with pytest.raises(UserError, match="^train.csv, line 2: label 'c' is not among the training classes 'a', 'b'; "):
        encode_label_sets(texts.labels, ["a", "b"], texts)
    with pytest.raises(ValueError, match="^labels: "):
        encode_label_sets(None, ["a"], texts)


@given(st.lists(st.sets(st.integers(0, 3)), min_size=1, max_size=30))
def test_a_text_is_drawn_by_the_rarest_of_its_labels(sets):
    matrix = np.array([[c in labels for c in range(4)] for labels in sets])
    distinct, numbers = np.unique(matrix, axis=0, return_inverse=True)
    count = [sum(c in labels for labels in sets) for c in range(4)]
    expected = [min(labels, key=lambda c: (count[c], c)) if labels else 4 for labels in sets]
    assert strata(distinct, numbers.reshape(-1)).tolist() == expected


CONFIG = {"labels": "several", "label_separator": ";", "vocabulary_size": 100}


def corpus_file(write, name="train.csv", rows=40):
    labels = ["a", "a;b", "", "b;c", "c"]
    return write(name, "text,labels\n" + "".join(f"word{n} common,{labels[n % 5]}\n" for n in range(rows)))


def test_prepared_data_hold_a_row_of_classes_for_each_text(write, tmp_path):
    config = DataConfig(train_file=corpus_file(write), test_file=corpus_file(write, "test.csv", 7), **CONFIG)
    first = prepare(config, open_corpus(config), 0, cache_dir=tmp_path / "cache")
    again = prepare(config, open_corpus(config), 0, cache_dir=tmp_path / "cache")  # from the files of the first
    assert first.fingerprint() == again.fingerprint() and first.classes == ["a", "b", "c"]
    assert first.test.labels.tolist() == again.test.labels.tolist()
    assert first.test.labels.astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1]] + [
        [1, 0, 0],
        [1, 1, 0],
    ]
    for data in (first, again):
        counts = [len(split.labels) for split in (data.train, data.validation)]
        assert sum(counts) == 40 and counts[1] == 5 and data.train.labels.shape == (counts[0], 3)
        assert data.train.labels.dtype == bool and data.validation.labels.any(axis=0).any()
    assert take(first.train, np.array([3, 0])).labels.tolist() == first.train.labels[[3, 0]].tolist()


def test_each_class_keeps_a_text_for_training():
    """Also where nearly all is held out."""
    sets = np.eye(5, dtype=bool)
    numbers = np.arange(50) % 5
    train, validation = split_validation(strata(sets, numbers), 0.99, 0)
    assert set(numbers[train]) == set(range(5)) and len(validation) == 45


def test_other_ways_to_read_the_labels_are_other_data(write, tmp_path):
    """The kept token ids of one are not taken for the other."""
    path = corpus_file(write)
    found = []
    for separator in (";", "|"):
        config = DataConfig(train_file=path, **{**CONFIG, "label_separator": separator})
        found.append(prepare(config, open_corpus(config), 0, cache_dir=tmp_path / "cache").classes)
    assert found == [["a", "b", "c"], ["a", "a;b", "b;c", "c"]]


def test_a_corpus_needs_a_label(write):
    """One class will do: a text has it or not."""
    for labels, fails in ((["", ""], True), (["a", ""], False)):
        path = write("train.csv", "text,labels\n" + "".join(f"x,{label}\n" for label in labels))
        config = DataConfig(train_file=path, **CONFIG)
        if fails:
            with pytest.raises(UserError, match="no training text has a label; name the column"):
                read_corpus(config)
        else:
            assert class_names(read_corpus(config)[0].train) == ["a"]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"label_columns": "a,b"}, "^label_columns: .*add --multi-label"),
        ({"label_columns": "a", "label_column": "b", "labels": "several"}, "^label_columns and label_column: "),
        ({"label_separator": ""}, "^label_separator: "),
        ({"labels": "many"}, "^labels: expected one of one, several, got 'many'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        DataConfig(**fields)


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=";"), min_size=1, max_size=6).filter(
    lambda name: not name.startswith("[")
)


@given(st.lists(st.lists(NAMES, max_size=4), min_size=1, max_size=6))
def test_all_three_forms_hold_the_same_sets(rows):
    """With repeats, in any order: the string of each row is that of its sorted labels."""
    known = sorted({name for names in rows for name in names})
    forms = [
        (LabelCells(";"), [("; ".join(names),) for names in rows]),
        (LabelCells(";"), [(json.dumps(names),) for names in rows]),
        (LabelCells(";", known), [tuple(str(int(name in names)) for name in known) for names in rows]),
    ]
    for cells, given_rows in forms:
        assert cells.read(given_rows, AssertionError) == [LABEL_END.join(sorted(set(names))) for names in rows]


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6), unique=True))
def test_a_cell_that_is_written_is_read_as_the_same_set(names):
    """Also where a label holds the separator, or looks like a list."""
    cells = LabelCells(";")
    assert cells.read([(cells.write(names),)], AssertionError) == [LABEL_END.join(sorted(names))]


def test_parquet_holds_sets_as_lists_and_as_columns(tmp_path):
    """Only the columns of text and labels are read."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sets = [["sports", "politics"], [], ["politics"]]
    columns = {name: [int(name in names) for names in sets] for name in ("politics", "sports")}
    table = pa.table({"text": ["a", "b", "c"], "other": [1, 2, 3], "labels": sets, **columns})
    pq.write_table(table, tmp_path / "a.parquet")
    for options in ({}, {"label_columns": ["politics", "sports"]}):
        found, _ = read_texts(tmp_path / "a.parquet", separator=",", **options)
        assert [names_in(label) for label in found.labels] == [sorted(names) for names in sets]


def test_the_delimiter_and_the_separator_are_two_signs(tmp_path):
    (tmp_path / "a.txt").write_text("text|labels\nx, y|a;b\nz|\n", encoding="cp1252")
    config = DataConfig(
        train_file=str(tmp_path / "a.txt"), labels="several", label_separator=";", delimiter="bar", encoding="cp1252"
    )
    corpus, _ = read_corpus(config)
    assert corpus.train.texts == ["x, y", "z"] and corpus.train.labels == [f"a{LABEL_END}b", ""]
