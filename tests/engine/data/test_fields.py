"""The cells that NumPy finds are those of the slower reader, whatever the file; blocks of any size change nothing."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.data import blocks as blocks_module
from engine.data import file_texts
from engine.data.fields import regular_fields
from engine.data.files import TextFiles, read_texts
from engine.data.tables import Format
from engine.data.texts import joined
from engine.support.errors import UserError
from tests.support.examples import examples

CHARACTERS = ["a", "b", " ", '"', '""', "x y", "\n", "\r\n", "\r", ",", "\t", "é", "\u3000", "中", "\x1c", "-", ";"]
WILD = st.lists(st.sampled_from(CHARACTERS), max_size=4).map("".join)
PLAIN = WILD.map(lambda cell: "".join(c for c in cell if c not in '"\n\r,\t;'))
QUOTED = WILD.map(lambda cell: '"' + cell.replace('"', '""') + '"')
CELLS = {".csv": PLAIN | QUOTED | WILD, ".tsv": PLAIN | WILD, ".txt": PLAIN}
LABELS = st.sampled_from(["l", "m", '"l"', '"m" ', ""])


@st.composite
def contents(draw, suffix):
    """A file of two columns, mostly regular, often with a header, blank lines and other line ends."""
    delimiter = "," if suffix == ".csv" else "\t"
    cells = PLAIN if draw(st.booleans()) else CELLS[suffix]
    rows = [delimiter.join(row) for row in draw(st.lists(st.tuples(LABELS, cells), min_size=1, max_size=8))]
    if draw(st.booleans()):
        rows.insert(0, f"label{delimiter}text")
    if draw(st.booleans()):
        rows.insert(draw(st.integers(0, len(rows))), draw(st.sampled_from(["", " ", "\t", "l"])))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(rows) + draw(st.sampled_from(["", end]))


OPTIONS = st.sampled_from(
    [{}, {"labels": "ignored"}, {"labels": "optional"}, {"text_columns": ["2"], "label_column": 1}]
)


def read(files):
    """Texts, labels and lines, or the message of the error."""
    try:
        texts = joined(files.blocks(), files.source)
        return texts.texts, texts.labels, texts.lines
    except UserError as error:
        return str(error)


@examples(150)
@given(st.sampled_from(sorted(CELLS)).flatmap(lambda suffix: st.tuples(st.just(suffix), contents(suffix))), OPTIONS)
@example((".tsv", "l\t\u3000\r\n\u3000\t\r\nm\t \x1c\r\n"), {"labels": "ignored"})
@example((".csv", '\nlabel,text\n"m" ,"\n;a,"\nl,b\n'), {})
@example((".tsv", '\t\n"\n"l"\t'), {"labels": "ignored"})
def test_regular_blocks_are_read_as_all_others(tmp_path_factory, file, options):
    suffix, content = file
    path = tmp_path_factory.mktemp("fields") / f"a{suffix}"
    path.write_text(content, newline="")
    with pytest.MonkeyPatch.context() as patch:
        try:
            files = TextFiles(path, **options)
        except UserError:
            return
        found = read(files)
        patch.setattr(file_texts, "regular_fields", lambda *args: None)
        expected = read(files)
        patch.undo()
        assert found == expected
        for size in (7, 40):  # of two errors, another may then come first
            patch.setattr(blocks_module, "BLOCK_BYTES", size)
            again = read(files)
            assert again == expected or isinstance(again, str) and isinstance(expected, str)


REGULAR = [
    (Format("CSV, comma", ",", quoted=True), 'a,"b"\n"c ""d""","e\nf"\n'),
    (Format("CSV, comma", ",", quoted=True), "a,b\r\nc,d\r\n\n"),
    (Format("TSV", "\t"), 'a\t"b\n'),
    (Format("plain lines"), "a\n\nb\n"),
]
IRREGULAR = [
    (Format("CSV, comma", ",", quoted=True), 'a,b"c\n'),
    (Format("CSV, comma", ",", quoted=True), 'a,"b"c\n'),
    (Format("CSV, comma", ",", quoted=True), 'a,"b"c"d"\n'),
    (Format("CSV, comma", ",", quoted=True), "a,b\rc\n"),
    (Format("CSV, comma", ",", quoted=True), "a,b,c\n"),
    (Format("TSV", "\t"), "a\n"),
    (Format("JSON lines"), "{}\n"),
]


@pytest.mark.parametrize("form, block, regular", [(*case, True) for case in REGULAR] + [(*c, False) for c in IRREGULAR])
def test_what_is_regular(form, block, regular):
    """Ordinary blocks take the fast way, so that the test above compares something."""
    fields = regular_fields(block.encode(), form, 1 if form.name == "plain lines" else 2)
    assert (fields is not None) == regular


def test_a_row_that_never_ends_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 64)
    path = tmp_path / "a.csv"
    path.write_text('label,text\nx,a\ny,"b\n' + "z,c\n" * 500)
    files = TextFiles(path)
    monkeypatch.setattr(blocks_module, "LONGEST_ROW", 1000)
    assert read(files).startswith(f"{path}, line 3: what begins here is longer than ")


def test_several_files_are_read_one_after_the_other(tmp_path):
    for number in (2, 1):
        (tmp_path / f"part-{number}.csv").write_text(f"text,label\na {number},x\n\nb,y\n")
    for name in (f"{tmp_path}/part-*.csv", f"{tmp_path}/part-1.csv,{tmp_path}/part-2.csv"):
        texts, note = read_texts(name)
        assert texts.texts == ["a 1", "b", "a 2", "b"] and texts.place(3) == f"{tmp_path}/part-2.csv, line 4"
        assert note == "2 files; CSV, comma, header; text: 'text' (column 1); label: 'label' (column 2); 4 rows"
    (tmp_path / "part-2.csv").write_text("label,text\nx,a\n")
    with pytest.raises(UserError, match=r"part-2.csv: has other columns \(.*\) than .*part-1.csv \(.*\); read files"):
        TextFiles(f"{tmp_path}/part-*.csv")
    with pytest.raises(UserError, match=r"none-\*.csv: no file has a name like this; check the pattern"):
        TextFiles(f"{tmp_path}/none-*.csv")
    (tmp_path / "a,b*.csv").write_text("x,a\ny,b\n")  # a name is a name
    assert read_texts(tmp_path / "a,b*.csv")[0].texts == ["a", "b"]
