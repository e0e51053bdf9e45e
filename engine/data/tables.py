"""Lines of CSV, TSV, JSON lines, fastText and plain lines as rows of cells with line numbers."""

import contextlib
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from engine.data.texts import shown
from engine.support.errors import UserError
from engine.support.files import AnyPath, parse_json

# The largest limit that the csv module takes on every platform; its default refuses texts above 128 KiB.
FIELD_LIMIT = 2**31 - 1
FASTTEXT_LABEL = "__label__"
EXACT = 2.0**53  # below which a float64 holds all whole numbers
MISSING = object()  # the cell of a JSON object that lacks the key


class Format(NamedTuple):
    """How a file holds rows. name: for people; delimiter: of columns, None for JSON and plain lines.

    quoted: whether fields may stand in quotes. quote: that character.
    """

    name: str
    delimiter: str | None = None
    quoted: bool = False
    quote: str = '"'


class Table(NamedTuple):
    """Consecutive lines of a file as rows of cells.

    rows: lists of cells, of any width; JSON objects as they are. lines: the line on which each row begins, from 1.
    open_line: the line of a row that did not end, whose quotes were not closed, and which is no row yet; else None.
    """

    rows: list[Any]
    lines: list[int]
    open_line: int | None = None


def plain_rows(path: AnyPath, form: Format, text: str, line: int = 1, last: bool = True) -> Table:
    """One text per line. Empty lines count as texts, so that predictions keep the order and number of lines."""
    rows = [[row.removesuffix("\r")] for row in text.removesuffix("\n").split("\n")] if text else []
    return Table(rows, list(range(line, line + len(rows))))


def fasttext_rows(path: AnyPath, form: Format, text: str, line: int = 1, last: bool = True) -> Table:
    """One text per line behind its label, "__label__x text", as [label, text]. Blank lines are skipped.

    The label is empty where there is none. UserError for several.
    """
    rows, lines = [], []
    for number, row in enumerate(text.split("\n"), start=line):
        if row.strip():
            label, rest = split_label(row.strip())
            second, _ = split_label(rest)
            if second:
                raise UserError(
                    f"{path}, line {number}: has several labels, {shown(label)} and {shown(second)}; leave one, "
                    "or write JSON lines for --multi-label"
                )
            rows.append([label, rest])
            lines.append(number)
    return Table(rows, lines)


def split_label(text: str) -> tuple[str, str]:
    """(label, what follows) of a text with a label of fastText in front; ("", text) without."""
    if not text.startswith(FASTTEXT_LABEL):
        return "", text
    match = re.match(r"(\S*)\s*(.*)", text.removeprefix(FASTTEXT_LABEL), re.DOTALL)
    assert match is not None
    return match[1], match[2]


def tsv_rows(path: AnyPath, form: Format, text: str, line: int = 1, last: bool = True) -> Table:
    """Rows in which quotes are ordinary characters."""
    rows, lines = [], []
    for number, row in enumerate(text.split("\n"), start=line):
        if row.strip():
            rows.append(row.removesuffix("\r").split(form.delimiter))
            lines.append(number)
    return Table(rows, lines)


def quoted_rows(path: AnyPath, form: Format, text: str, line: int = 1, last: bool = True) -> Table:
    """Rows by the csv module. A row that spans lines is known by its first. Blank lines are skipped."""
    end = ["end", "of file"]
    delimiter = form.delimiter or ","
    rows: list[list[str]] = []
    lines = []
    number = line
    with wide_fields():
        # A quote that is never closed would swallow the rest of the file in silence: then it swallows the end mark too.
        reader = csv.reader(
            itertools.chain(io.StringIO(text, newline="\n"), [delimiter.join(end)]),
            delimiter=delimiter,
            quotechar=form.quote,
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


def json_rows(path: AnyPath, form: Format, text: str, line: int = 1, last: bool = True) -> Table:
    """One JSON object per line."""
    objects: list[Mapping[str, Any]] = []
    lines = []
    for number, row in enumerate(text.split("\n"), start=line):
        if not row.strip():
            continue
        try:
            value = parse_json(row)
        except ValueError as error:
            raise UserError(
                f"{path}, line {number}: bad JSON {shown(row)} ({error}); write one object per line"
            ) from None
        if not isinstance(value, dict):
            raise UserError(
                f"{path}, line {number}: expected a JSON object, got {shown(row)}; "
                'write one object per line, such as {"label": "1", "text": "…"}'
            )
        objects.append(value)
        lines.append(number)
    return Table(objects, lines)


def cell_text(cell: Any) -> str | None:
    """A cell as text: JSON numbers and truth values as JSON writes them, null as "". None for arrays and objects.

    Whole numbers are written without a point: to JSON 1 and 1.0 are one number.
    """
    if isinstance(cell, str):
        return mend_surrogates(cell)
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT:
        cell = int(cell)
    return json.dumps(cell) if isinstance(cell, (bool, int, float)) else None


def mend_surrogates(text: str) -> str:
    """Put U+FFFD in the place of lone surrogates, which JSON escapes can name and which are no characters."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
