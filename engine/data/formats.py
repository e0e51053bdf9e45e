"""The formats of files of texts, one record each, and how the format of a file is told."""

import contextlib
import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from engine.data.columns import TEXT_NAMES
from engine.data.json_array import array_tables
from engine.data.parquet import parquet_tables
from engine.data.tables import (
    FASTTEXT_LABEL,
    Format,
    Table,
    fasttext_rows,
    is_blank,
    json_rows,
    plain_rows,
    quoted_rows,
    tsv_rows,
    wide_fields,
)
from engine.data.texts import shown
from engine.support.errors import UserError
from engine.support.files import AnyPath

Rows: TypeAlias = Callable[[AnyPath, Format, str, int, bool], Table]
Tables: TypeAlias = Callable[[AnyPath, Iterable[bytes], Sequence[str] | None], Iterator[Table]]

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
DELIMITER_SAMPLE_ROWS = 20


class FormatKind(NamedTuple):
    """One format of files.

    suffixes: of names that mean it. rows: the rows of consecutive lines, where rows are lines. tables: those of a whole
    file, of (path, its bytes in chunks, the columns that are needed or None), where they are not. keyed: whether rows
    are dicts. header: names of columns that all such files have. unit: what errors count.
    """

    suffixes: tuple[str, ...] = ()
    rows: Rows | None = None
    tables: Tables | None = None
    keyed: bool = False
    header: tuple[str, ...] | None = None
    unit: str = "line"


FORMATS = {
    "CSV": FormatKind((".csv",), quoted_rows),
    "TSV": FormatKind((".tsv", ".tab"), tsv_rows),
    "TSV, quoted": FormatKind((), quoted_rows),
    "JSON lines": FormatKind((".jsonl", ".ndjson", ".json"), json_rows, keyed=True),
    "JSON array": FormatKind((), tables=lambda path, chunks, _: array_tables(path, chunks), keyed=True),
    "parquet": FormatKind(
        (".parquet", ".pq"), tables=lambda path, _, columns: parquet_tables(path, columns), keyed=True, unit="row"
    ),
    "fastText": FormatKind((".ft",), fasttext_rows, header=("label", "text")),
    "plain lines": FormatKind((), plain_rows),
}


def kind_of(form: Format) -> FormatKind:
    """The record of a Format."""
    if form.name not in FORMATS and form.delimiter is not None:
        return FORMATS["CSV"] if form.quoted else FORMATS["TSV"]
    return FORMATS[form.name]


def suffix_format(name: str) -> str | None:
    """The name of the format that a suffix means; None for others. name: of a file, as content_name() gives it."""
    return next((form for form, kind in FORMATS.items() if name.endswith(kind.suffixes)), None)


def format_of(
    path: AnyPath, name: str, text: str, whole: bool, plain_lines: bool, delimiter: str = "", quote: str = ""
) -> Format:
    """The Format of a file, told by its name, else by its first line. text: its first lines; whole: whether all.

    name: as content_name() gives it. plain_lines: whether a file of another name (.txt) is one text per line.
    delimiter, quote: those asked for, of a table; quote "none": quotes are ordinary characters.
    """
    kind = suffix_format(name) or format_of_first_line(text, plain_lines and not delimiter)
    if kind == "plain lines" and (delimiter or quote):
        kind = "CSV"
    require_quotable(path, kind, delimiter, quote)
    if not delimiter and not quote:
        if kind == "CSV":
            return csv_format(guess_delimiter(text))
        return tsv_format(path, text, whole) if kind == "TSV" else Format(kind)
    if not delimiter:
        delimiter = "\t" if kind == "TSV" else guess_delimiter(text, '"' if quote == "none" else quote)
    return csv_format(delimiter, quote or '"')


def require_quotable(path: AnyPath, kind: str, delimiter: str, quote: str) -> None:
    """Raise UserError where a delimiter or a quote is asked for in a format that has none."""
    if (delimiter or quote) and kind not in ("CSV", "TSV"):
        option = "--delimiter" if delimiter else "--quotechar"
        raise UserError(f"{path}: is {kind}, which has no delimiters and no quotes of its own; leave {option} out")


def csv_format(delimiter: str, quote: str = '"') -> Format:
    """The Format of a table with a delimiter."""
    if quote == "none":
        return Format("TSV" if delimiter == "\t" else f"{delimiter_name(delimiter)}, no quotes", delimiter)
    name = f"CSV, {delimiter_name(delimiter)}"
    return Format(name if quote == '"' else f"{name}, quote {quote}", delimiter, True, quote)


def delimiter_name(delimiter: str) -> str:
    return DELIMITERS.get(delimiter) or f"delimiter {shown(delimiter)}"


def format_of_first_line(text: str, plain_lines: bool) -> str:
    """The format that the first line with content suggests. plain_lines: whether columns have not been asked for."""
    line = next((line for line in text.split("\n") if line.strip()), "").strip()
    if line.startswith(FASTTEXT_LABEL):
        return "fastText"
    if line.startswith("{"):
        return "JSON lines"
    if plain_lines and not is_header(line):
        return "plain lines"
    return "TSV" if "\t" in line else "CSV" if any(d in line for d in ",;") else "plain lines"


def is_header(line: str) -> bool:
    """Whether a line is the header of a table: several cells without blanks around them, one of them a usual name."""
    for delimiter in DELIMITERS:
        cells = [cell.strip('"') for cell in line.split(delimiter)]
        if len(cells) > 1 and all(cell == cell.strip() != "" for cell in cells):
            return any(cell.lower() in TEXT_NAMES for cell in cells)
    return False


def tsv_format(path: AnyPath, text: str, whole: bool) -> Format:
    """TSV: quotes are ordinary characters, unless only reading them as quotes gives rows of equal width."""
    form, quoted_form = Format("TSV", "\t"), Format("TSV, quoted", "\t", quoted=True)
    rows = tsv_rows(path, form, text).rows
    if rows and '"' in text and (all(is_wrapped(cell) for cell in rows[0]) or len(set(map(len, rows))) > 1):
        with contextlib.suppress(UserError):
            quoted = quoted_rows(path, quoted_form, text, last=whole).rows
            if len(set(map(len, quoted))) == 1 < len(quoted[0]):
                return quoted_form
    return form


def is_wrapped(cell: str) -> bool:
    """Whether a cell stands in quotes."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def guess_delimiter(text: str, quote: str = '"') -> str:
    """The delimiter that cuts the most of the first rows into as many columns as the very first, more than one.

    The comma where none does. A row of another width thus does not hide the delimiter, and can be named.
    """
    alike = dict.fromkeys(DELIMITERS, 0.0)  # share of the rows; in an equal race the first wins
    for delimiter in DELIMITERS:
        with wide_fields():
            sample = itertools.islice(
                csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter, quotechar=quote), DELIMITER_SAMPLE_ROWS
            )
            with contextlib.suppress(csv.Error):
                widths = [len(row) for row in sample if not is_blank(row)]
                if widths and widths[0] > 1:
                    alike[delimiter] = widths.count(widths[0]) / len(widths)
    return max(alike, key=alike.__getitem__)


def checked_delimiter(delimiter: str) -> str:
    """The delimiter of an option: one character, or its name. "" for none. UserError for anything else."""
    character = {**{name: sign for sign, name in DELIMITERS.items()}, "\\t": "\t"}.get(delimiter, delimiter)
    return checked_character("--delimiter", character, f"or one of {', '.join(DELIMITERS.values())}")


def checked_quote(quote: str) -> str:
    """The quote of an option: one character, or "none". "" where it is not given. UserError for anything else."""
    return quote if quote == "none" else checked_character("--quotechar", quote, "or none")


def checked_character(option: str, value: str, others: str) -> str:
    if len(value) > 1 or value in ("\n", "\r"):
        raise UserError(f"{option} {shown(value)}: expected one character, {others}; give that")
    return value
