"""Formats of files: what is written in each is read back, whole and as a stream; what is no table is named."""

import csv
import gzip
import io
import json
import random
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data import blocks as blocks_module
from engine.data import folders, json_array, parquet
from engine.data.columns import LABEL_NAMES, TEXT_NAMES
from engine.data.config import DataConfig
from engine.data.file_texts import FileTexts
from engine.data.files import TextFiles, read_texts
from engine.data.reading import for_other_file
from engine.data.signatures import SIGNATURES
from engine.data.texts import joined
from engine.data.writing import checked_suffix, table_writer
from engine.support.errors import UserError
from tests.support.hub_server import parquet as parquet_bytes


def as_csv(delimiter=",", quote='"', encoding="utf-8"):
    def content(rows):
        file = io.StringIO(newline="")
        writer = csv.writer(file, delimiter=delimiter, quotechar=quote, quoting=csv.QUOTE_ALL)
        writer.writerows([("label", "text"), *rows])
        return file.getvalue().encode(encoding)

    return content


def as_json(rows):
    return [{"label": label, "text": text} for label, text in rows]


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__MACOSX/._a.csv", b"x")
        archive.writestr("folder/", b"")
        archive.writestr("folder/a.csv", content)
    return file.getvalue()


def by_lines(pattern):
    return lambda rows: "".join(pattern.format(*row) for row in rows).encode()


# name of a file, function of rows that returns its bytes, options to read it, whether texts may hold line ends
FORMATS = {
    "CSV": ("a.csv", as_csv(), {}, True),
    "CSV, gzip": ("a.csv.gz", lambda rows: gzip.compress(as_csv()(rows)), {}, True),
    "CSV, zip": ("a.zip", lambda rows: zipped(as_csv()(rows)), {}, True),
    "CSV, quote '": ("a.csv", as_csv(";", "'"), {"delimiter": "semicolon", "quotechar": "'"}, True),
    "CSV, odd delimiter": ("a.txt", as_csv("§"), {"delimiter": "§"}, True),
    "CSV, UTF-16": ("a.csv", as_csv(encoding="utf-16"), {"encoding": "utf-16"}, True),
    "CSV, GB 18030": ("a.csv", as_csv(encoding="gb18030"), {"encoding": "gb18030"}, True),
    "no quotes": ("a.csv", by_lines("{}|{}\n"), {"delimiter": "|", "quotechar": "none", "label_column": 1}, False),
    "TSV": ("a.tsv", lambda rows: by_lines("{}\t{}\n")([("label", "text"), *rows]), {}, False),
    "JSON lines": ("a.jsonl", lambda rows: "\n".join(map(json.dumps, as_json(rows))).encode(), {}, True),
    "JSON array": ("a.json", lambda rows: json.dumps(as_json(rows), ensure_ascii=False).encode(), {}, True),
    "JSON array, indented": ("a.txt", lambda rows: json.dumps(as_json(rows), indent=1).encode(), {}, True),
    "parquet": ("a.dat", lambda rows: parquet_bytes(dict(zip(("label", "text"), zip(*rows)))), {}, True),
    "fastText": ("a.txt", by_lines("__label__{} {}\n"), {}, False),
}
LABELS = st.sampled_from(["x", "y", "long_label", "ß"])
ANY = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
LINES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r\n\t|\ufeff"), max_size=12).filter(
    lambda text: text.strip().lower() not in LABEL_NAMES + TEXT_NAMES  # which without a header would be taken for one
)


def read(path, **options):
    texts, _ = read_texts(path, **options)
    return list(zip(texts.labels, texts.texts))


def failure(path, **options):
    """The message of the UserError, which is one line and names a remedy."""
    with pytest.raises(UserError) as caught:
        read_texts(path, **options)
    message = str(caught.value)
    assert "\n" not in message and "; " in message
    return message


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=20)
@given(data=st.data())
def test_what_is_written_is_read_back(tmp_path_factory, name, data):
    """Random labels and texts, the texts stripped."""
    file, write, options, any_text = FORMATS[name]
    rows = data.draw(st.lists(st.tuples(LABELS, ANY if any_text else LINES), min_size=1, max_size=6))
    path = tmp_path_factory.mktemp("format") / file
    path.write_bytes(write(rows))
    assert read(path, **options) == [(label, text.strip()) for label, text in rows]


@settings(max_examples=20)
@given(rows=st.lists(st.tuples(st.sampled_from(["x", "y z"]), ANY), min_size=1, max_size=6))
def test_a_folder_per_class(tmp_path_factory, rows):
    root = tmp_path_factory.mktemp("folders")
    (root / "README.txt").write_text("beside the folders, and no text\n")
    for number, (label, text) in enumerate(rows):
        (root / label).mkdir(exist_ok=True)
        (root / label / f"{number}").write_bytes(text.encode())
        (root / label / ".hidden").write_bytes(b"\xff")
    expected = [(label, text.removeprefix("\ufeff").strip()) for label, text in rows]
    assert read(root) == sorted(expected, key=lambda row: row[0])
    note = read_texts(root)[1]
    assert note == f"a folder per class; {len(rows)} row" + "s" * (len(rows) != 1)


@settings(max_examples=20)
@given(rows=st.lists(st.tuples(st.sampled_from(["x", "y.z"]), LINES), min_size=1, max_size=6))
def test_a_file_per_class(tmp_path_factory, rows):
    root = tmp_path_factory.mktemp("files")
    for label in ("x", "y.z"):
        lines = "".join(f"{text}\r\n" for name, text in rows if name == label)
        (root / f"{label}.txt.gz").write_bytes(gzip.compress(lines.encode()))
    expected = [(label, text.strip()) for label, text in rows if text.strip()]
    assert read(root) == sorted(expected, key=lambda row: row[0])


def test_folders_are_read_in_blocks_and_named(tmp_path, monkeypatch):
    """A digest changes with a file, a text has a place, and many files are several blocks."""
    monkeypatch.setattr(folders, "BLOCK_CHARACTERS", 10)
    for number in range(9):
        path = tmp_path / f"{number % 2}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"text {number}")
    files = TextFiles(tmp_path)
    blocks = list(files.blocks())
    assert [len(block.labels) for block in blocks] == [2, 2, 1, 2, 2]
    assert blocks[1].place(1) == f"{tmp_path}/0, text 4"
    assert joined(blocks, "").place(5) == f"{tmp_path}/1, text 1"
    before = files.digest()
    path.write_text("other")
    assert TextFiles(tmp_path).digest() != before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], ": the folder is empty"),
        (
            ["a.csv", "b.csv"],
            ": is a folder of files that are not all .txt ('a.csv', 'b.csv'); name them with a pattern",
        ),
        (["a/b/c.txt"], "/a: stands for a class and holds folders ('b'); give the folder whose folders are"),
        (["a/.b"], "/a: the folder of a class is empty"),
        (["a\n.txt"], "/a\n.txt: the name of a class, 'a\\n', cannot be printed; rename it"),
    ],
)
def test_folders_of_no_classes(tmp_path, names, message):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    with pytest.raises(UserError) as caught:
        read_texts(tmp_path)
    assert str(caught.value).removeprefix(str(tmp_path)).startswith(message)


def test_folders_have_no_columns(tmp_path):
    (tmp_path / "x.txt").write_text("text")
    assert "is a folder of classes, whose names are the labels; leave --text-columns out" in failure(
        tmp_path, text_columns="2"
    )


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", ["CSV", "CSV, UTF-16", "no quotes", "TSV", "JSON lines", "JSON array", "fastText"])
def test_a_stream_is_read_as_the_file(tmp_path, name, size):
    file, write, options, any_text = FORMATS[name]
    rows = [("x", "one"), ("y", 'tw"o\nö' if any_text else "twö"), ("x", ""), ("y", "four, 4")]
    path, content = tmp_path / file, write(rows)
    path.write_bytes(content)
    options = {"text_columns": 2, "label_column": 1, **options}
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    files = FileTexts("stream", **options, stream=chunks)
    texts = joined(files.blocks(), "stream")
    assert list(zip(texts.labels, texts.texts)) == read(path, **options) == rows


def test_a_stream_gives_rows_as_they_come():
    """A row is there before the next is read."""
    read_so_far = []

    def chunks():
        for line in (b"text,n\n", b"one,1\n", b'"two\n', b'2",2\n', b"three,3"):
            read_so_far.append(line)
            yield line

    files = FileTexts("stream", labels="ignored", stream=chunks())
    assert files.columns.header == ["text", "n"] and len(read_so_far) == 1
    seen = [(texts, len(read_so_far)) for _, _, texts in files.rows() if texts]
    assert seen == [(["one"], 2), (["two\n2"], 4), (["three"], 5)]


def test_the_first_row_of_a_stream_goes_on():
    files = FileTexts("stream", text_columns=2, label_column=1, stream=[b'x,"one\n', b'two"\ny,', b"three"])
    texts = joined(files.blocks(), "stream")
    assert (texts.texts, texts.labels, texts.lines) == (["one\ntwo", "three"], ["x", "y"], [1, 3])


def test_a_wrong_byte_is_named_by_its_line():
    files = FileTexts("stream", encoding="cp1252", stream=[b"label,text\nx,a\n", b"y,b\nx,c", b"\x81\n"])
    with pytest.raises(UserError, match="stream, line 4: byte 0x81 is not cp1252; name another encoding"):
        list(files.blocks())


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.what)
def test_what_is_no_table_is_named(tmp_path, signature):
    """By its first bytes, also within gzip, whatever its name is."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"\0" * signature.place + signature.magic + b"\n\0\0\0"))
    assert failure(path) == f"{path}: is {signature.what}; {signature.remedy}"


def zip_of(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "label,text\nx,a\ny,b\n")  # no date: ids of tests hold the bytes
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "member", "message"),
    [
        (zip_of("xl/workbook.xml", "docProps/app.xml"), "", ": is an Excel workbook (xlsx); save its texts as CSV"),
        (zip_of("word/document.xml"), "", ": is a Word document (docx); save its texts as CSV"),
        (zip_of("a.csv", "b.csv"), "", ": the zip archive holds 2 files (a.csv, b.csv); name one, such as "),
        (zip_of("a.csv", "b.csv"), "/c.csv", ": the zip archive holds no file 'c.csv', but a.csv, b.csv; name one of"),
        (zip_of(*"abcdefg"), "", ": the zip archive holds 7 files (a, b, c, d, e and 2 more); name one, such as"),
        (zip_of(), "", ": no such file"),
        (zip_of(""), "", ": the zip archive holds no file; pack it again"),
        (zip_of("a.csv")[:-30], "", ": the zip archive is damaged or cut short"),
    ],
)
def test_zip_archives_of_no_single_file(tmp_path, content, member, message):
    path = tmp_path / "a.zip"
    if content != zip_of():
        path.write_bytes(content)
    assert message in failure(f"{path}{member}")


def test_a_member_of_a_zip_archive_is_named(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of("a.csv", "folder/b.csv"))
    assert read(f"{path}/folder/b.csv") == [("x", "a"), ("y", "b")]
    assert len(TextFiles(f"{path}/folder/b.csv").digest()) == 64


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        (
            "a.csv",
            b"label,text\nx,\xe9\n",
            {},
            ", line 2: byte 0xe9 is not UTF-8; save the file as UTF-8, or name its ",
        ),
        (
            "a.csv",
            "label,text\nx,a\n".encode("utf-16"),
            {},
            ": is text in UTF-16; name its encoding: --encoding utf-16",
        ),
        ("a.csv", b"label,text\nx,\x81\n", {"encoding": "cp1252"}, ", line 2: byte 0x81 is not cp1252; name another"),
        ("a.csv", b"x,a\n", {"encoding": "utf-9"}, "encoding 'utf-9': is unknown; name one such as"),
        ("a.csv", b"x,a\n", {"encoding": "base64"}, "encoding 'base64': is unknown"),
        ("a.csv", b"x,a\n", {"delimiter": "||"}, "--delimiter '||': expected one character, or one of comma, semi"),
        ("a.csv", b"x,a\n", {"quotechar": "''"}, "--quotechar \"''\": expected one character, or none"),
        (
            "a.jsonl",
            b'{"a": 1}',
            {"delimiter": ","},
            ": is JSON lines, which has no delimiters and no quotes of its own",
        ),
        ("a.json", b"[]", {"quotechar": "'"}, ": is JSON array, which has no delimiters and no quotes of its own"),
        (
            "a.txt",
            b"__label__x a\n__label__x __label__y b\n",
            {},
            ", line 2: has several labels, 'x' and 'y'; leave one",
        ),
        ("a.txt", b"__label__x a\n__label__\n", {}, ", line 2: the label in 'label' (column 1) is empty; fill it in"),
        ("a.txt", b"__label__x a\n__label__ b\n", {}, ", line 2: the label in 'label' (column 1) is empty; fill it in"),
        ("a.txt", b"__label__x a\nb\n", {}, ", line 2: the label in 'label' (column 1) is empty; fill it in"),
        ("a.parquet", b"text", {}, ": is no parquet file that can be read ("),
        ("a.parquet", b"PAR1 and no more", {}, ": is no parquet file that can be read ("),
        (
            "a.parquet",
            parquet_bytes({"label": ["x", None], "text": ["a", "b"]}),
            {},
            ", row 2: the label in 'label' (column 1) is empty",
        ),
        (
            "a.parquet",
            parquet_bytes({"label": ["x", "y"], "text": [["a"], ["b"]]}),
            {},
            ", row 1: 'text' (column 2) holds ['a']; give a string or a number",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, name, content, options, message):
    path = tmp_path / name
    path.write_bytes(content)
    assert failure(path, **options).removeprefix(str(path)).startswith(message)


def test_parquet_is_read_by_pyarrow(tmp_path, monkeypatch):
    """In batches, of the columns that are needed; without it one line says what to install."""
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet_bytes({"label": ["x", "y"], "text": ["a", "b"], "more": [1, 2]}))
    monkeypatch.setattr(parquet, "BATCH_ROWS", 1)
    tables = parquet.parquet_tables(path, ["text"])
    assert [(table.rows, table.lines) for table in tables] == [([{"text": "a"}], [1]), ([{"text": "b"}], [2])]
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    assert "is a parquet file: pyarrow reads it and cannot be imported" in failure(path)


def test_a_json_array_of_one_line_takes_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_array, "TABLE_CHARACTERS", 1 << 16)
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 1 << 16)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"label": f"{n % 2}", "text": f"text {n} " * 10} for n in range(20_000)]))
    tracemalloc.start()
    try:
        rows = sum(len(block.labels) for block in TextFiles(path).blocks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 20_000 and peak < path.stat().st_size / 2


def labelled_rows(count, *columns):
    """CSV of a label and some columns, functions of (row number, label)."""
    numbers = random.Random(0)
    rows = []
    for row in range(count):
        label = numbers.choice("xyz")
        rows.append([label, *(column(row, label) for column in columns)])
    return "".join(",".join(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("header", "columns", "text"),
    [
        ("", [lambda n, _: f"words {n}", lambda n, _: f"kind {n % 4}"], [1]),
        ("label,title,text\n", [lambda n, _: f"{n % 2}", lambda n, _: f"words {n}"], [2]),
        ("label,title,more\n", [lambda n, _: f"{n % 2}", lambda n, _: f"words {n}"], [1]),
        ("label,more\n", [lambda n, _: f"{n % 2} a"], [1]),
        ("", [lambda n, _: f"{n % 4}", lambda n, _: f"{n % 5}", lambda n, _: f"{n % 3}"], None),
    ],
)
def test_a_column_of_a_handful_of_values_is_no_text(tmp_path, header, columns, text):
    """Unless it is the only one beside the label, or alone has the name of a text."""
    path = tmp_path / "a.csv"
    path.write_text(header + labelled_rows(60, *columns))
    if text is None:
        assert "of few values each); name it (--text-columns)" in failure(path)
    else:
        assert FileTexts(path).columns.text == text


@pytest.mark.parametrize(
    ("column", "leaks"),
    [
        (lambda n, label: f"about {label}{n % 30}", True),
        (lambda n, label: f"about {n % 30}", False),
        (lambda n, label: f"{label} {n}", False),
        (lambda n, label: f"about {label}" if n % 10 == 0 else f"{n}", False),
    ],
)
def test_a_column_that_tells_the_label_is_warned_of(tmp_path, column, leaks):
    path = tmp_path / "a.csv"
    path.write_text(labelled_rows(400, lambda n, _: f"words {n}", column))
    warnings = TextFiles(path).warnings()
    assert len(warnings) == leaks
    if leaks:
        assert warnings[0].startswith(f"warning: {path}: column 3 is part of the text and tells the label of 100 % of")
    assert not TextFiles(path, text_columns=["2"]).warnings()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".jsonl", ".json", ".json.gz", ".parquet"])
@settings(max_examples=15)
@given(rows=st.lists(st.tuples(LABELS, ANY), max_size=5))
def test_what_the_writer_writes_is_read_back(tmp_path_factory, suffix, rows):
    """All cells as they were, and the added ones; of TSV the same rows by the csv module."""
    path = tmp_path_factory.mktemp("writer") / f"a{suffix}"
    with table_writer(path, checked_suffix(path), suffix.endswith(".gz"), ["label", "text"], {"p": float}) as writer:
        for row in rows:
            writer.write([row], [[0.5]])
    if suffix == ".tsv":
        with open(path, encoding="utf-8", newline="") as file:
            assert list(csv.reader(file, delimiter="\t"))[1:] == [[*row, "0.5"] for row in rows]
        return
    if rows:
        found = [row for some, _, _ in FileTexts(path).rows() for row in some]
        cells = [[*row.values()] if isinstance(row, dict) else row for row in found]
        assert [[*row[:2], float(row[2])] for row in cells] == [[*row, 0.5] for row in rows]


@pytest.mark.parametrize("name", ["a", "a.txt", "a.xlsx", "a.parquet.gz"])
def test_a_suffix_of_no_table(name):
    with pytest.raises(UserError, match="its suffix tells no format of tables; end the name in .csv, "):
        checked_suffix(name)


def test_another_file_has_the_columns_of_the_training(tmp_path):
    """But is read in its own way; a folder has no columns."""
    trained = DataConfig(text_columns="a,b", label_column="c", delimiter=";", quotechar="'", encoding="cp1252")
    other = for_other_file(trained, tmp_path / "x.csv", {"encoding": "utf-16"})
    assert other == DataConfig(text_columns="a,b", label_column="c", encoding="utf-16")
    assert for_other_file(trained, tmp_path, {}) == DataConfig()
