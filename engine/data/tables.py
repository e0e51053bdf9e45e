"""Files as tables: CSV, TSV, JSON lines and plain lines, each also gzip, become rows of cells with line numbers."""

import contextlib
import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Iterator
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
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MISSING = object()  # the cell of a JSON object that lacks the key


class Table(NamedTuple):
    """A file as rows of cells.

    format: the format that the file was read as. keys: the column names of JSON objects, else None. rows: lists of
    cells, of any width. lines: the line on which each row begins, from 1.
    """

    format: str
    keys: list[str] | None
    rows: list[list[Any]]
    lines: list[int]


def read_table(path: AnyPath, plain_lines: bool) -> Table:
    """Read a file as a table; its name tells the format. Raises UserError for whatever cannot be read.

    plain_lines: whether a file of another name (.txt) is one text per line; otherwise its first line tells the format.
    """
    text = read_characters(path)
    if "\n" not in text and "\r" in text.rstrip("\r"):
        raise UserError(f"{path}: the lines end in CR alone; save the file with LF or CRLF line ends")
    name = str(path).lower().removesuffix(".gz")
    kind = FORMATS.get(Path(name).suffix) or ("plain lines" if plain_lines else format_of_first_line(text))
    return {"CSV": csv_table, "TSV": tsv_table, "JSON lines": json_table, "plain lines": line_table}[kind](path, text)


def read_characters(path: AnyPath) -> str:
    """The characters of a UTF-8 file, unpacked if it is gzip, without byte order mark; NUL becomes U+FFFD.

    The csv module of Python 3.10 refuses NUL; tokenizers drop either character alike.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a file in it") from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); check the path and its permissions"
        ) from None
    if data.startswith(GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(
                f"{path}: the gzip data is damaged or cut short ({error}); fetch or pack the file again"
            ) from None
    data = data.removeprefix(BYTE_ORDER_MARK)
    try:
        return data.decode("utf-8").replace("\0", "\ufffd")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def format_of_first_line(text: str) -> str:
    """The format that the first line with content suggests."""
    line = next((line for line in text.split("\n") if line.strip()), "")
    if line.startswith("{"):
        return "JSON lines"
    return "TSV" if "\t" in line else "CSV" if any(d in line for d in ",;") else "plain lines"


def line_table(path: AnyPath, text: str) -> Table:
    """Read one text per line. Empty lines count as texts, so that predictions keep the order and number of lines."""
    rows = [[line.removesuffix("\r")] for line in text.removesuffix("\n").split("\n")] if text else []
    return Table("plain lines", None, rows, list(range(1, len(rows) + 1)))


def csv_table(path: AnyPath, text: str) -> Table:
    """Read CSV: quoted fields may hold delimiters, doubled quotes and line ends; the delimiter is guessed."""
    delimiter = guess_delimiter(text)
    return Table(f"CSV, {DELIMITERS[delimiter]}", None, *quoted_rows(path, text, delimiter))


def tsv_table(path: AnyPath, text: str) -> Table:
    """Read TSV: quotes are ordinary characters, unless only reading them as quotes gives rows of equal width."""
    rows, lines = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(line.removesuffix("\r").split("\t"))
            lines.append(number)
    if rows and '"' in text and (all(is_wrapped(cell) for cell in rows[0]) or len(set(map(len, rows))) > 1):
        with contextlib.suppress(UserError):
            quoted, quoted_lines = quoted_rows(path, text, "\t")
            if len(set(map(len, quoted))) == 1 < len(quoted[0]):
                return Table("TSV, quoted", None, quoted, quoted_lines)
    return Table("TSV", None, rows, lines)


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


def quoted_rows(path: AnyPath, text: str, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """(rows, lines) by the csv module. A row that spans lines is known by its first. Blank lines are skipped."""
    end = ["end", "of file"]
    rows, lines = [], []
    line = 1
    with wide_fields():
        # A quote that is never closed would swallow the rest of the file in silence: then it swallows the end mark too.
        reader = csv.reader(
            itertools.chain(io.StringIO(text, newline="\n"), [delimiter.join(end)]), delimiter=delimiter
        )
        try:
            for row in reader:
                if not is_blank(row):
                    rows.append(row)
                    lines.append(line)
                line = reader.line_num + 1
        except csv.Error as error:
            remedy = "put the field in double quotes, or save the file with LF or CRLF line ends"
            raise UserError(f"{path}, line {reader.line_num}: bad CSV ({error}); {remedy}") from None
    if rows[-1] != end:
        raise UserError(
            f"{path}, line {lines[-1]}: a quote opens and is never closed; close it, "
            "and double the quotes within a field"
        )
    return rows[:-1], lines[:-1]


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


def json_table(path: AnyPath, text: str) -> Table:
    """Read one JSON object per line. The columns are all keys, in the order of their first appearance."""
    objects, lines = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            remedy = (
                "write one object per line, without an array around them"
                if line.lstrip().startswith("[")
                else "write one object per line"
            )
            raise UserError(f"{path}, line {number}: bad JSON {shown(line)} ({error}); {remedy}") from None
        if not isinstance(value, dict):
            raise UserError(
                f"{path}, line {number}: expected a JSON object, got {shown(line)}; "
                'write one object per line, such as {"label": "1", "text": "…"}'
            )
        objects.append(value)
        lines.append(number)
    keys = list(dict.fromkeys(itertools.chain.from_iterable(objects)))
    return Table("JSON lines", keys, [[value.get(key, MISSING) for key in keys] for value in objects], lines)


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
