"""Texts and labels from a local file."""

import math
import os
from collections.abc import Sequence
from typing import Any

from engine.arrays.checks import check_choice
from engine.data.columns import Columns, choose_columns
from engine.data.tables import MISSING, Table, cell_text, read_table
from engine.data.texts import LabelledTexts, shown
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.support.text import sanitize


def read_texts(
    path: AnyPath,
    text_columns: str | int | Sequence[str | int] | None = None,
    label_column: str | int | None = None,
    labels: str = "required",
) -> tuple[LabelledTexts, str]:
    """Read texts and labels from CSV, TSV, JSON lines or plain lines (UTF-8, also gzip). Returns (LabelledTexts, str).

    text_columns: names or positions, one or a sequence; several are joined by a space. label_column: a name or
    position. Positions count from 1, as in cut. Columns that are not given are guessed from the names in a header;
    without one the label is the first or last column, whichever repeats its values more, and the text all the others.
    labels: "required", "optional" (None where the file has no label column) or "ignored" (None).
    The string says in one line what was read and guessed. Blank lines are skipped, except in plain lines.
    Raises UserError, naming file and line, for anything that cannot be read.
    """
    check_choice("labels", labels, ("required", "optional", "ignored"))
    path = os.fspath(path)
    if isinstance(text_columns, (str, int)):
        text_columns = [text_columns]
    table = read_table(path, plain_lines=labels != "required" and text_columns is None and label_column is None)
    if not table.rows:
        raise UserError(f"{path}: the file holds no rows; give one with at least one text")
    columns = choose_columns(path, table, text_columns, label_column, labels)
    first = 1 if columns.header is not None and table.keys is None else 0
    rows, lines = table.rows[first:], table.lines[first:]
    if not rows:
        raise UserError(f"{path}: the file holds a header and no rows; give one with at least one text")
    cut_rows(path, table.format, rows, lines, columns)
    texts = [
        " ".join(cells).strip() for cells in zip(*(column_cells(path, rows, lines, columns, i) for i in columns.text))
    ]
    names = None
    if labels != "ignored" and columns.label is not None:
        names = read_labels(path, rows, lines, columns, columns.label, labels)
    return LabelledTexts(texts, names, path, lines), describe(table, columns, names, len(texts))


def cut_rows(path: str, format_name: str, rows: list[list[Any]], lines: list[int], columns: Columns) -> None:
    """Bring rows that are too wide to the width of the table, in place.

    A tab too many in a TSV belongs to the last text.
    """
    width = columns.width
    for number, row in enumerate(rows):
        if len(row) <= width:
            continue
        if format_name == "TSV" and columns.text[-1] == width - 1:
            rows[number] = [*row[: width - 1], " ".join(row[width - 1 :])]
        elif any(cell.strip() for cell in row[width:]):
            raise UserError(
                f"{path}, line {lines[number]}: {len(row)} columns where {width} are expected, "
                f"{shown(row[width])} is too many; put the field that holds the delimiter in double quotes"
            )


def column_cells(path: str, rows: list[list[Any]], lines: list[int], columns: Columns, index: int) -> list[str]:
    """The cells of one column as strings. Raises UserError for rows that lack it."""
    cells = []
    for row, line in zip(rows, lines):
        cell = row[index] if index < len(row) else MISSING
        if cell is MISSING:
            found = (
                f"{len(row)} columns, but {columns.width} are expected"
                if columns.header is None or index >= len(row)
                else f"no key {shown(columns.header[index])}"
            )
            raise UserError(f"{path}, line {line}: {found}; complete or remove the line")
        text = cell_text(cell)
        if text is None:
            raise UserError(
                f"{path}, line {line}: {columns.describe(index)} holds {shown(cell)}; give a string or a number"
            )
        cells.append(text)
    return cells


def read_labels(
    path: str, rows: list[list[Any]], lines: list[int], columns: Columns, label: int, labels: str
) -> list[str] | None:
    """The label of each row, stripped; None when labels are optional and every one is empty.

    label: the index of the column. NaN and infinity in JSON are as good as empty.
    """
    names = [cell.strip() for cell in column_cells(path, rows, lines, columns, label)]
    empty = [number for number, name in enumerate(names) if not name or is_not_finite(rows[number][label])]
    if labels == "optional" and len(empty) == len(names):
        return None
    if empty:
        found = names[empty[0]] or "empty"
        raise UserError(
            f"{path}, line {lines[empty[0]]}: the label in {columns.describe(label)} is {found}; "
            "fill it in or remove the line"
        )
    for name in dict.fromkeys(names):
        # Format characters may be part of a word, as in Persian, and stay.
        if sanitize(name) != name:
            line = lines[names.index(name)]
            found = f"the label {shown(name)} in {columns.describe(label)} holds a character that cannot be printed"
            raise UserError(f"{path}, line {line}: {found}; remove it, or name another label column (--label-column)")
    return names


def is_not_finite(cell: Any) -> bool:
    return isinstance(cell, float) and not math.isfinite(cell)


def describe(table: Table, columns: Columns, names: list[str] | None, count: int) -> str:
    """One line for the command line to print, on what was read and what was guessed."""
    parts = [table.format]
    if table.format != "plain lines":
        if table.keys is None:
            parts[0] += ", no header" if columns.header is None else ", header"
        parts.append("text: " + columns.describe(*columns.text))
        parts.append(
            "no label" if names is None or columns.label is None else "label: " + columns.describe(columns.label)
        )
    return f"{'; '.join(parts)}; {count} row" + ("s" if count != 1 else "")
