"""Local files: formats, guessed columns, and one line of help for each way to be wrong."""

import csv
import gzip
import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data import blocks as blocks_module
from engine.data.files import read_texts
from engine.support.errors import UserError
from tests.support.examples import examples


@pytest.fixture
def write(tmp_path):
    """Writes a small file and returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(path)

    return write_file


def read(path, **options):
    """(texts, labels) of a file."""
    data, _ = read_texts(path, **options)
    return data.texts, data.labels


def failure(path, **options):
    """The message of the UserError, without the path."""
    with pytest.raises(UserError) as caught:
        read_texts(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and "; " in message
    return message.removeprefix(str(path))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv_without_header_is_label_then_texts(write, name):
    path = write(name, '"3","Title","Some, text"\n"4","","Only this"\n"3","A ""b""","c\nd"\n')
    assert read(path) == (["Title Some, text", "Only this", 'A "b" c\nd'], ["3", "4", "3"])


@pytest.mark.parametrize("name", ["a.tsv", "a.tab", "a.tsv.gz", "a.txt"])
def test_tsv_takes_quotes_as_characters(write, name):
    path = write(name, '1\tsay "yes\r\n0\t"no" they said\n')
    assert read(path) == (['say "yes', '"no" they said'], ["1", "0"])


def test_gzip_is_known_by_its_first_bytes_and_not_by_its_name(write):
    assert read(write("a.tsv", gzip.compress(b"1\tx\n0\ty\n"))) == (["x", "y"], ["1", "0"])


def test_quoted_tsv_is_recognized(write):
    assert read(write("a.tsv", '1\t"a\nb"\n0\t"c ""d"""\n')) == (["a\nb", 'c "d"'], ["1", "0"])
    assert read(write("b.tsv", '"1"\t"a"\n"0"\t"b"\n')) == (["a", "b"], ["1", "0"])


def test_a_tab_too_many_in_a_tsv_belongs_to_the_text(write):
    assert read(write("a.tsv", "1\ta\n0\tb\tc\n1\td\n"))[0] == ["a", "b c", "d"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_in_a_csv_are_found(write, delimiter):
    path = write("a.csv", f"text{delimiter}label\na, b{delimiter}x\nc{delimiter}y\n")
    assert read(path) == (["a, b", "c"], ["x", "y"])


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.txt"])
def test_json_lines_of_strings_numbers_and_truth_values(write, name):
    objects = [
        {"label": 1, "text": "x\ty", "id": 7},
        {"text": None, "id": 8, "label": True},
        {"label": 1.5, "text": 3, "id": 9},
    ]
    path = write(name, "\n".join(map(json.dumps, objects)) + "\n\n")
    assert read(path) == (["x\ty", "", "3"], ["1", "true", "1.5"])


def test_half_a_surrogate_pair_in_json_is_replaced(write):
    path = write("a.jsonl", '{"label": "a", "text": "x\\ud800y \\ud83d\\ude00"}\n')
    assert read(path)[0] == ["x\ufffdy 😀"]


def test_a_name_in_capitals_tells_the_format_too(write):
    assert read(write("a.TSV.GZ", gzip.compress(b"1\tx\n0\ty\n")), labels="ignored")[0] == ["x", "y"]


def test_plain_lines_keep_empty_lines(write):
    data, statement = read_texts(write("a.txt", "one\n\nthree, 3\r\n"), labels="ignored")
    assert (data.texts, data.labels, data.lines) == (["one", "", "three, 3"], None, [1, 2, 3])
    assert statement == "plain lines; 3 rows"


def test_strange_characters_survive(write):
    data = "\ufeff1,a\0b\n0,😀\n1,\n".encode()
    assert read(write("a.csv", data)) == (["a\ufffdb", "😀", ""], ["1", "0", "1"])


def test_a_field_of_a_million_characters_is_read(write, request):
    """A text of a million characters is read, and the limit of the csv module is put back."""
    before = csv.field_size_limit(1000)
    request.addfinalizer(lambda: csv.field_size_limit(before))
    text = "word, " * 170_000
    assert read(write("a.csv", f'1,"{text}"\n0,b\n'))[0] == [text.strip(), "b"]
    assert csv.field_size_limit() == 1000


@pytest.mark.parametrize(
    ("content", "texts", "labels"),
    [
        ("text,label\na,x\nb,y\n", ["a", "b"], ["x", "y"]),
        ("id,Review,Sentiment\n1,a,x\n2,b,y\n", ["a", "b"], ["x", "y"]),
        ("Class Index,Title,Description\n1,a,b\n2,c,d\n", ["a b", "c d"], ["1", "2"]),
        ("stars,text\n1,a\n2,b\n", ["a", "b"], ["1", "2"]),
        ("stars,words\n1,a\n2,b\n", None, None),
        ("label,words\nx,a\ny,b\n", ["a", "b"], ["x", "y"]),
        ("a text,1\nanother,2\nthird,1\n", ["a text", "another", "third"], ["1", "2", "1"]),
        ("question,a\nnews,b\nquestion,c\n", ["a", "b", "c"], ["question", "news", "question"]),
    ],
)
def test_columns_are_guessed(write, content, texts, labels):
    path = write("a.csv", content)
    if texts is None:
        assert "cannot tell which column holds the label (2 columns: 'stars', 'words')" in failure(path)
    else:
        assert read(path) == (texts, labels)


@pytest.mark.parametrize(
    ("options", "texts", "labels"),
    [
        ({"text_columns": ["body", "title"], "label_column": "kind"}, ["b t", "d c"], ["x", "y"]),
        ({"text_columns": "body", "label_column": 1}, ["b", "d"], ["x", "y"]),
        ({"text_columns": [3, "2"], "label_column": "1"}, ["b t", "d c"], ["x", "y"]),
        ({"label_column": "kind"}, ["t b", "c d"], ["x", "y"]),
    ],
)
def test_columns_are_taken_by_name_or_position_from_one(write, options, texts, labels):
    assert read(write("a.csv", "kind,title,body\nx,t,b\ny,c,d\n"), **options) == (texts, labels)


def test_labels_may_be_absent_or_ignored(write):
    """Labels may be absent where they are optional and are dropped where ignored."""
    assert read(write("a.csv", "text\na\nb\n"), labels="optional") == (["a", "b"], None)
    assert read(write("b.csv", "id,text\n1,a\n2,b\n"), labels="optional") == (["a", "b"], None)
    assert read(write("c.csv", "text,label\na,x\nb,y\n"), labels="optional") == (["a", "b"], ["x", "y"])
    assert read(write("d.csv", "text,label\na,\nb,\n"), labels="optional") == (["a", "b"], None)
    assert read(write("e.csv", "text,label\na,\nb,y\n"), labels="ignored") == (["a", "b"], None)
    assert read(write("f.jsonl", '{"text": "a", "label": NaN}\n{"text": "b", "label": null}\n'), labels="optional") == (
        ["a", "b"],
        None,
    )
    with pytest.raises(ValueError, match="labels: expected one of"):
        read(write("f.csv", "a\n"), labels="none")


def test_labels_of_any_language_may_be_printed(write):
    labels = ["می\u200cخواهم", "👩\u200d🚀", "10\u00a0km", "two words"]
    assert (
        read(write("a.tsv", "".join(f"{label}\ta\n" for label in labels)), text_columns=2, label_column=1)[1] == labels
    )


def test_the_statement_says_what_was_guessed(write):
    statement = read_texts(write("a.csv", "class,title,text\nx,t,b\ny,c,d\n"))[1]
    assert statement == "CSV, comma, header; text: 'title', 'text' (columns 2, 3); label: 'class' (column 1); 2 rows"
    assert read_texts(write("a.tsv.gz", "1\ta\n"))[1] == "TSV, no header; text: column 2; label: column 1; 1 row"
    assert (
        read_texts(write("a.jsonl", '{"text": "a"}'), labels="optional")[1]
        == "JSON lines; text: 'text' (column 1); no label; 1 row"
    )


def test_lines_are_those_on_which_the_rows_begin(write):
    data, _ = read_texts(write("a.csv", 'label,text\n\nx,"a\nb"\ny,c\n'))
    assert data.lines == [3, 5] and data.place(1).endswith("a.csv, line 5")


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_lines_of_blanks_are_skipped(write, delimiter):
    rows = f" \t\nlabel{delimiter}text\n   \r\nx{delimiter}a b\n \ny{delimiter}c\n  "
    data, _ = read_texts(write("a.csv", rows))
    assert (data.texts, data.labels, data.lines) == (["a b", "c"], ["x", "y"], [4, 6])
    assert read(write("b.tsv", "x\ta\n   \ny\tb\n")) == (["a", "b"], ["x", "y"])
    assert read(write("c.csv", 'text\na\n""\nb\n'), labels="ignored")[0] == ["a", "", "b"], (
        "an empty field in quotes is a text"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", ": the file holds no rows"),
        ("a.txt", "", ": the file holds no rows"),
        ("a.csv", "text,label\n", ": the file holds a header and no rows"),
        ("a.csv", "  \n\n ", ": the file holds no rows"),
        ("a.csv", 'x,"a\nb"\ny,c\nz\n', ", line 4: 1 columns, but 2 are expected"),
        ("a.tsv", "x\ta\ny\n", ", line 2: 1 columns, but 2 are expected"),
        ("a.csv", "x,a\ny,b\nz,c,d\n", ", line 3: 3 columns where 2 are expected, 'd' is too many"),
        ("a.csv", "text;label\na, b;x\nc;y;z\n", ", line 3: 3 columns where 2 are expected, 'z' is too many"),
        ("a.csv", "\ntext;n;label\na;1;x\nc;2\n", ", line 4: 2 columns, but 3 are expected"),
        ("a.csv", "a, b;x\nc;y\nd\n", ", line 3: 1 columns, but 2 are expected"),
        ("a.csv", "x,a; b\ny,c\nz,d,e\n", ", line 3: 3 columns where 2 are expected, 'e' is too many"),
        ("a.csv", 'x,a\ny,"b\nz,c\n', ", line 2: a quote opens and is never closed"),
        ("a.csv", 'x,a\ny,"', ", line 2: a quote opens and is never closed"),
        ("a.csv", "x,a\ny,b\rc\n", ", line 2: bad CSV"),
        ("a.csv", 'x,"a\nb"\ry,c\r', ", line 2: bad CSV"),
        ("a.csv", "x,a\ry,b\r", ": the lines end in CR alone; save the file with LF or CRLF line ends"),
        ("a.tsv", "label\ttext\r" + "x\ta\r" * 9, ": the lines end in CR alone; save"),
        ("a.jsonl", '{"text": "a", "label": 1}\r{"text": "b", "label": 2}', ": the lines end in CR alone; save"),
        ("a.txt", "x\ta\ry\tb", ": the lines end in CR alone; save"),
        ("a.csv", b"x,a\ny,\xe9\n", ", line 2: byte 0xe9 is not UTF-8"),
        ("a.csv", b"\xef\xbb\xbfx,a\ny,\xff\n", ", line 2: byte 0xff is not UTF-8"),
        ("a.csv", "label,text\nx,a\n ,b\n", ", line 3: the label in 'label' (column 1) is empty"),
        (
            "a.csv",
            'label,text\nx,a\n"y\nz",b\n',
            ", line 3: the label 'y\\nz' in 'label' (column 1) holds a character that cannot",
        ),
        ("a.csv", 'x,a\n"y\tz",b\n', ", line 2: the label 'y\\tz' in column 1 holds a character"),
        (
            "a.jsonl",
            '{"label": "x\\u2028y", "text": "a"}\n',
            ", line 1: the label 'x\\u2028y' in 'label' (column 1) holds a character",
        ),
        ("a.tsv", "x\x1b[2J\ta\n", ", line 1: the label 'x\\x1b[2J' in column 1 holds a character"),
        ("a.csv", "text\na\n", ": cannot tell which column holds the label (1 column: 'text')"),
        ("a.txt", "just a line\n", ": cannot tell which column holds the label (1 column, no header)"),
        ("a.csv", "label,x,y\n1,a,b\n", ": cannot tell which column holds the text (3 columns: 'label', 'x', 'y')"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"\n', ', line 2: bad JSON \'{"text": "b"\''),
        ("a.jsonl", '{"text": "a", "label": 1}\n[]', ", line 2: expected a JSON object, got '[]'"),
        ("a.jsonl", '{"a": ' + "[" * 100_000, ", line 1: bad JSON"),
        ("a.json", '[{"text": "a"}]', ": cannot tell which column holds the label (1 column: 'text')"),
        ("a.json", "[\n", ", line 2: expected a JSON object, got the end of the file"),
        ("a.json", "[]", ": the file holds no rows"),
        ("a.json", '[{"text": "a", "label": 1},\n {"text": "b" "label": 2}]', ", line 2: bad JSON (Expecting ',' del"),
        (
            "a.json",
            '[{"text": "a", "label": 1}\n {"text": "b"}]',
            ", line 2: bad JSON, expected a comma or ], got '{\"",
        ),
        ("a.json", '[{"text": "a", "label": 1}]\n2', ", line 2: '2' stands behind the array; remove it"),
        ("a.json", '[{"text": "a",\n"label": 1}, [1]]', ", line 2: expected a JSON object, got '[1]]'"),
        ("a.json", b'[{"text": "a",\n"label": "\xe9"}]', ", line 2: byte 0xe9 is not UTF-8; save"),
        ("a.json", "[" * 100_000, ", line 1: expected a JSON object"),
        ("a.jsonl", '{"text": "a", "label": 1}\n\n{"label": "b"}\n', ", line 3: no key 'text'"),
        (
            "a.jsonl",
            '{"text": "a", "label": 1}\n{"text": "b", "label": null}\n',
            ", line 2: the label in 'label' (column 2) is empty",
        ),
        (
            "a.jsonl",
            '{"text": "a", "label": "NaN"}\n{"text": "b", "label": NaN}\n',
            ", line 2: the label in 'label' (column 2) is NaN; fill",
        ),
        ("a.jsonl", '{"text": "a", "label": -1e999}\n', ", line 1: the label in 'label' (column 2) is -Infinity; fill"),
        ("a.jsonl", '{"text": ["a"], "label": 1}', ", line 1: 'text' (column 1) holds ['a']"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(write, name, content, message):
    assert failure(write(name, content)).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_column": "kind"}, ": no column is named 'kind' (2 columns: 'label', 'text')"),
        ({"text_columns": ["text", "title"]}, ": no column is named 'title' (2 columns: 'label', 'text')"),
        ({"label_column": 3}, ": there is no column 3 (2 columns: 'label', 'text'); positions count from 1"),
        ({"label_column": "0"}, ": there is no column 0"),
    ],
)
def test_columns_that_do_not_exist_are_named_with_those_that_do(write, options, message):
    assert failure(write("a.csv", "label,text\nx,a\n"), **options).startswith(message)


@pytest.mark.parametrize(
    "text_columns, label_column", [(["1", "2"], "1"), (["2"], "text"), (["label", "text"], 1), ("text", "text")]
)
def test_the_label_is_no_text(write, text_columns, label_column):
    message = failure(write("a.csv", "label,text\nx,a\ny,b\n"), text_columns=text_columns, label_column=label_column)
    assert message.endswith(
        "is among the text columns and holds the label; take it out of --text-columns, or name another --label-column"
    )
    assert failure(write("b.csv", "x,a\ny,b\n"), text_columns=[1, 2], label_column=2).startswith(
        ": column 2 is among the text columns"
    )


def test_a_name_of_two_columns_names_none(write):
    path = write("a.csv", "label,text,text,n,n\nx,a,b,1,1\ny,c,d,2,2\n")
    assert (
        failure(path, text_columns="text")
        == ": 2 columns are named 'text' (columns 2, 3); give their positions instead, or rename one"
    )
    assert failure(path, label_column="n").startswith(": 2 columns are named 'n' (columns 4, 5)")
    assert read(path, text_columns=[3], label_column="label") == (["b", "d"], ["x", "y"])
    assert read(path) == (["a b", "c d"], ["x", "y"])


def test_of_many_columns_some_are_named(write):
    names = ["label", *(f"c{i}" for i in range(81))]
    path = write("a.csv", f"{','.join(names)}\n" + ",".join("x" * 82) + "\n")
    assert failure(path).endswith(
        "(82 columns: 'label', 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'c8' and 72 more); "
        "name it (--text-columns)"
    )


def test_of_the_remedies_for_a_stray_cr_one_is_about_line_ends(write):
    assert failure(write("a.csv", "x,a\ny,b\rc\n")).endswith(
        "; put the field in double quotes, or save the file with LF or CRLF line ends"
    )


def test_one_line_may_end_in_cr(write):
    assert read(write("a.tsv", "1\ta\r")) == read(write("a.csv", "1,a\r")) == (["a"], ["1"])


def test_paths_that_cannot_be_read(tmp_path, write):
    assert failure(tmp_path / "none.csv").startswith(": no such file")
    assert failure(tmp_path).startswith(": the folder is empty")
    assert failure(str(tmp_path / "a\0.csv")).startswith(": cannot be read")
    whole = gzip.compress(b"1\ta\n" * 1000)
    assert failure(write("cut.tsv", whole[:-9])).startswith(": the gzip data is damaged or cut short")
    assert failure(write("bad.tsv", whole[:12] + b"\xff\xff\xff" + whole[15:])).startswith(": the gzip data is damaged")


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)


@examples(100)
@given(st.lists(st.tuples(st.sampled_from(["x", "y"]), CELLS), min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows):
    content = io.StringIO(newline="")
    csv.writer(content, quoting=csv.QUOTE_ALL).writerows([("label", "text"), *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(content.getvalue().encode())
    assert read(path) == ([text.strip() for _, text in rows], [label for label, _ in rows])


def test_keys_that_change_from_line_to_line_take_no_memory(tmp_path):
    """JSON lines whose keys all differ take memory for what they hold, not for each line times each key."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({f"key{i}": i, "text": f"t{i}", "label": i % 2}) + "\n" for i in range(3000)))
    tracemalloc.start()
    try:
        texts, labels = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert texts[-1] == "t2999" and labels[:2] == ["0", "1"]
    assert peak < 16e6  # 9 million cells would take 72


def test_a_packed_file_of_one_endless_line_is_refused_without_unpacking_it(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks_module, "LONGEST_ROW", 1 << 22)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a" * (1 << 26)))
    tracemalloc.start()
    try:
        message = failure(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message.startswith(", line 1: what begins here is longer than 4 MiB") and peak < 32e6
