"""Formats of tables: CSV, TSV, JSON lines and plain lines become rows of cells with line numbers."""

import contextlib
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from engine.data.texts import shown
from engine.support.errors import UserError
from engine.support.files import AnyPath

FORMATS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".tab": "TSV",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".json": "JSON lines",
}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
# The largest limit that the csv module takes on every platform; its default refuses texts above 128 KiB.
FIELD_LIMIT = 2**31 - 1
DELIMITER_SAMPLE_ROWS = 20
MISSING = object()  # the cell of a JSON object that lacks the key


class Format(NamedTuple):
    """How a file holds rows. name: for people; delimiter: of columns, None for JSON and plain lines.

    quoted: whether fields may stand in quotes.
    """

    name: str
    delimiter: str | None = None
    quoted: bool = False


class Table(NamedTuple):
    """Consecutive lines of a file as rows of cells.

    rows: lists of cells, of any width; JSON objects as they are. lines: the line on which each row begins, from 1.
    open_line: the line of a row that did not end, whose quotes were not closed, and which is no row yet; else None.
    """

    rows: list[Any]
    lines: list[int]
    open_line: int | None = None


def format_of(path: AnyPath, text: str, whole: bool, plain_lines: bool) -> Format:
    """The Format of a file, told by its name, else by its first line. text: its first lines; whole: whether all.

    plain_lines: whether a file of another name (.txt) is one text per line.
    """
    name = str(path).lower().removesuffix(".gz")
    kind = FORMATS.get(Path(name).suffix) or ("plain lines" if plain_lines else format_of_first_line(text))
    if kind == "CSV":
        delimiter = guess_delimiter(text)
        return Format(f"CSV, {DELIMITERS[delimiter]}", delimiter, quoted=True)
    return tsv_format(path, text, whole) if kind == "TSV" else Format(kind)


def format_of_first_line(text: str) -> str:
    """The format that the first line with content suggests."""
    line = next((line for line in text.split("\n") if line.strip()), "")
    if line.startswith("{"):
        return "JSON lines"
    return "TSV" if "\t" in line else "CSV" if any(d in line for d in ",;") else "plain lines"


def read_rows(path: AnyPath, form: Format, text: str, line: int = 1, last: bool = True) -> Table:
    """The rows of consecutive lines of a file. line: the number of the first; last: whether the file ends with them.

    UserError for what is no row of this Format.
    """
    if form.name == "JSON lines":
        return json_rows(path, text, line)
    if form.delimiter is None:
        return plain_rows(text, line)
    return quoted_rows(path, text, form.delimiter, line, last) if form.quoted else tsv_rows(text, line)


def plain_rows(text: str, line: int) -> Table:
    """One text per line. Empty lines count as texts, so that predictions keep the order and number of lines."""
    rows = [[row.removesuffix("\r")] for row in text.removesuffix("\n").split("\n")] if text else []
    return Table(rows, list(range(line, line + len(rows))))


def tsv_rows(text: str, line: int) -> Table:
    """Rows of TSV in which quotes are ordinary characters."""
    rows, lines = [], []
    for number, row in enumerate(text.split("\n"), start=line):
        if row.strip():
            rows.append(row.removesuffix("\r").split("\t"))
            lines.append(number)
    return Table(rows, lines)


def tsv_format(path: AnyPath, text: str, whole: bool) -> Format:
    """TSV: quotes are ordinary characters, unless only reading them as quotes gives rows of equal width."""
    rows = tsv_rows(text, 1).rows
    if rows and '"' in text and (all(is_wrapped(cell) for cell in rows[0]) or len(set(map(len, rows))) > 1):
        with contextlib.suppress(UserError):
            quoted = quoted_rows(path, text, "\t", last=whole).rows
            if len(set(map(len, quoted))) == 1 < len(quoted[0]):
                return Format("TSV, quoted", "\t", quoted=True)
    return Format("TSV", "\t")


def is_wrapped(cell: str) -> bool:
    """Whether a cell stands in quotes."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def guess_delimiter(text: str) -> str:
    """The delimiter that cuts the most of the first rows into as many columns as the very first, more than one.

    The comma where none does. A row of another width thus does not hide the delimiter, and can be named.
    """
    alike = dict.fromkeys(DELIMITERS, 0.0)  # share of the rows; in an equal race the first wins
    for delimiter in DELIMITERS:
        with wide_fields():
            sample = itertools.islice(
                csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter), DELIMITER_SAMPLE_ROWS
            )
            with contextlib.suppress(csv.Error):
                widths = [len(row) for row in sample if not is_blank(row)]
                if widths and widths[0] > 1:
                    alike[delimiter] = widths.count(widths[0]) / len(widths)
    return max(alike, key=alike.__getitem__)


def quoted_rows(path: AnyPath, text: str, delimiter: str, line: int = 1, last: bool = True) -> Table:
    """Rows by the csv module. A row that spans lines is known by its first. Blank lines are skipped."""
    end = ["end", "of file"]
    rows: list[list[str]] = []
    lines = []
    number = line
    with wide_fields():
        # A quote that is never closed would swallow the rest of the file in silence: then it swallows the end mark too.
        reader = csv.reader(
            itertools.chain(io.StringIO(text, newline="\n"), [delimiter.join(end)]), delimiter=delimiter
        )
        try:
            for row in reader:
                if not is_blank(row):
                    rows.append(row)
                    lines.append(number)
                number = line + reader.line_num
        except csv.Error as error:
            remedy = "put the field in double quotes, or save the file with LF or CRLF line ends"
            at = line - 1 + reader.line_num
            raise UserError(f"{path}, line {at}: bad CSV ({error}); {remedy}") from None
    if rows[-1] == end:
        return Table(rows[:-1], lines[:-1])
    if last:
        raise UserError(
            f"{path}, line {lines[-1]}: a quote opens and is never closed; close it, "
            "and double the quotes within a field"
        )
    return Table(rows[:-1], lines[:-1], lines[-1])


def is_blank(row: list[str]) -> bool:
    """Whether a row of the csv module is a line of nothing or of blanks: an empty field in quotes is a text."""
    return not row or len(row) == 1 and row[0].isspace()


@contextlib.contextmanager
def wide_fields() -> Iterator[None]:
    """Lift the csv module's limit on the size of a field; it is one for the whole process, hence put back."""
    before = csv.field_size_limit(FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def json_rows(path: AnyPath, text: str, line: int) -> Table:
    """One JSON object per line."""
    objects: list[Mapping[str, Any]] = []
    lines = []
    for number, row in enumerate(text.split("\n"), start=line):
        if not row.strip():
            continue
        try:
            value = json.loads(row)
        except (ValueError, RecursionError) as error:
            remedy = (
                "write one object per line, without an array around them"
                if row.lstrip().startswith("[")
                else "write one object per line"
            )
            raise UserError(f"{path}, line {number}: bad JSON {shown(row)} ({error}); {remedy}") from None
        if not isinstance(value, dict):
            raise UserError(
                f"{path}, line {number}: expected a JSON object, got {shown(row)}; "
                'write one object per line, such as {"label": "1", "text": "…"}'
            )
        objects.append(value)
        lines.append(number)
    return Table(objects, lines)


def cell_text(cell: Any) -> str | None:
    """A cell as text: JSON numbers and truth values as JSON writes them, null as "". None for arrays and objects."""
    if isinstance(cell, str):
        return mend_surrogates(cell)
    if cell is None:
        return ""
    return json.dumps(cell) if isinstance(cell, (bool, int, float)) else None


def mend_surrogates(text: str) -> str:
    """Put U+FFFD in the place of lone surrogates, which JSON escapes can name and which are no characters."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
