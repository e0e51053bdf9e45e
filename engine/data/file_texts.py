"""Texts and labels of one local file, block by block."""

import bisect
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from engine.arrays.checks import check_choice
from engine.data.blocks import Block, Blocks
from engine.data.columns import choose_columns, label_leaks
from engine.data.fields import cells_of, regular_fields, texts_of
from engine.data.label_sets import LabelCells
from engine.data.packed import split_member
from engine.data.strings import strings_from
from engine.data.table_file import TableFile
from engine.data.tables import MISSING, Table, cell_text
from engine.data.texts import TextBlock, shown
from engine.support.errors import UserError
from engine.support.files import AnyPath, sha256_of
from engine.support.text import sanitize


class FileTexts:
    """The texts and labels of a file in one of the FORMATS, also packed (gzip, zip).

    text_columns: names or positions, one or a sequence; several are joined by a space. label_column: a name or
    position. Positions count from 1, as in cut. Columns that are not given are guessed, by the first MiB of the file,
    from the names in a header; without one the label is the first or last column, whichever repeats its values more,
    and the text all the others that hold more than a handful of values.
    labels: "required", "optional" (None where the file has no label column, or an empty one) or "ignored" (None).
    encoding, delimiter, quotechar, stream: as in TableFile.
    separator: where a text may have several labels, what stands between them (label_sets.py). label_columns: names or
    positions of columns of 0 and 1, a label each, in place of label_column.
    Blank lines are skipped, except in plain lines. UserError, naming file and line, for anything that cannot be read.
    """

    def __init__(
        self,
        path: AnyPath,
        text_columns: str | int | Sequence[str | int] | None = None,
        label_column: str | int | None = None,
        labels: str = "required",
        encoding: str = "",
        delimiter: str = "",
        quotechar: str = "",
        separator: str | None = None,
        label_columns: Sequence[str | int] | None = None,
        stream: Iterable[bytes] | None = None,
    ) -> None:
        check_choice("labels", labels, ("required", "optional", "ignored"))
        self.source, self.labels = os.fspath(path), labels
        if isinstance(text_columns, (str, int)):
            text_columns = [text_columns]
        plain_lines = labels != "required" and text_columns is None and label_column is None
        self.file = TableFile(self.source, plain_lines, encoding, delimiter, quotechar, stream)
        self.format, self.kind, (rows, lines, _) = self.file.format, self.file.kind, self.file.head
        if not rows:
            raise UserError(f"{self.source}: the file holds no rows; give one with at least one text")
        names = None
        if self.kind.header or self.kind.keyed:
            names = list(self.kind.header or dict.fromkeys(itertools.chain.from_iterable(rows)))
        self.columns = choose_columns(
            self.source, self.format, rows, names, text_columns, label_column, labels, label_columns
        )
        self.sets = None if separator is None else LabelCells(separator, self.columns.label_names())
        has_header = self.columns.header is not None and self.format.delimiter is not None
        self.header_line = lines[0] if has_header else 0
        if self.file.whole and len(rows) == has_header:
            raise UserError(f"{self.source}: the file holds a header and no rows; give one with at least one text")
        leaks = label_leaks(self.columns, rows[has_header:])
        self.warnings = [f"warning: {self.source}: {leak}" for leak in leaks]

    def blocks(self) -> Iterator[TextBlock]:
        """The texts of the file, in blocks of consecutive ones."""
        empty = filled = None  # lines of labels, where they are optional
        for read in self.read_blocks():
            if self.labels == "optional" and read.labels is not None and self.sets is None:
                places = [line for name, line in zip(read.labels, read.lines or ()) if not name]
                empty = empty or next(iter(places), None)
                filled = filled or len(places) < len(read.labels)
                if empty and filled:
                    raise self.empty_label(empty, "empty")
                if empty:
                    read = read._replace(labels=None)
            if len(read.strings.offsets) > 1:
                yield read

    def read_blocks(self) -> Iterator[TextBlock]:
        """The texts of each block or table of the file, with empty labels where they are optional."""
        if self.kind.tables is None:
            blocks, each = self.file.blocks()
            for block in each:
                yield self.regular_block(block, blocks) or self.text_block(self.file.table_of(block, blocks))
            return
        label, header = self.label(), self.columns.header or ()
        labels = self.set_columns() if label is None else [label]
        needed = [header[index] for index in (*self.columns.text, *labels)]
        for table in self.file.tables(needed):
            yield self.text_block(table)

    def rows(self) -> Iterator[tuple[list[Any], list[int], list[str]]]:
        """(rows with all their cells, the line of each, the text of each), table by table."""
        for table in self.file.tables():
            rows, lines = self.rows_below_header(table)
            yield rows, lines, self.texts_of_rows(rows, lines)

    def regular_block(self, block: Block, blocks: Blocks) -> TextBlock | None:
        """The texts of a Block that is regular; None for any other."""
        label, columns = self.label(), self.set_columns()
        if self.columns.text != sorted(set(self.columns.text)):
            return None
        fields = regular_fields(block.data, self.format, self.columns.width, self.header_line - block.line)
        if fields is None:
            return None
        names = None if label is None else cells_of(fields, label)
        if names is not None and any(not name or sanitize(name) != name for name in set(names)):
            return None
        lines = (block.line + fields.lines).tolist()
        if columns:
            names = self.read_sets([cells_of(fields, column) for column in columns], lines)
        texts = texts_of(fields, self.columns.text)
        if names is None and self.format.name == "TSV" and not np.diff(texts.offsets).all():
            return None  # a row of blanks is none
        if fields.used < len(block.data):
            if block.last:
                return None
            blocks.take_back(block.data[fields.used :])
        return TextBlock(texts, names, lines, self.source)

    def text_block(self, table: Table) -> TextBlock:
        """The texts of any rows."""
        rows, lines = self.rows_below_header(table)
        texts = strings_from(self.texts_of_rows(rows, lines))
        label, columns = self.label(), self.set_columns()
        names = None if label is None else self.read_labels(rows, lines, label)
        if columns:
            names = self.read_sets([self.column_cells(rows, lines, column) for column in columns], lines)
        return TextBlock(texts, names, lines, self.source, unit=self.kind.unit)

    def rows_below_header(self, table: Table) -> tuple[list[Any], list[int]]:
        """(rows, lines) of a table without its header, no row wider than that."""
        first = bisect.bisect_right(table.lines, self.header_line)
        rows, lines = table.rows[first:], table.lines[first:]
        self.cut_rows(rows, lines)
        return rows, lines

    def texts_of_rows(self, rows: list[Any], lines: list[int]) -> list[str]:
        """The text of each row: its text columns, joined by spaces."""
        cells = [self.column_cells(rows, lines, index) for index in self.columns.text]
        return [" ".join(parts).strip() for parts in zip(*cells)]

    def place(self, line: int) -> str:
        """The place of a row for error messages."""
        return f"{self.source}, {self.kind.unit} {line}"

    def label(self) -> int | None:
        """The index of the column of labels; None where there are none, several, or they are not asked for."""
        return None if self.labels == "ignored" or self.sets is not None else self.columns.label

    def set_columns(self) -> list[int]:
        """The indices of the columns that hold the labels of texts with several; none where there are no such."""
        return [] if self.labels == "ignored" or self.sets is None else self.columns.label_indices()

    def read_sets(self, columns: list[list[str]], lines: list[int]) -> list[str]:
        """The labels of each row as a string (label_sets.py). columns: of cells."""
        assert self.sets is not None

        def wrong(row: int, what: str) -> UserError:
            return UserError(f"{self.place(lines[row])}: {what}")

        return self.sets.read([tuple(cell.strip() for cell in cells) for cells in zip(*columns)], wrong)

    def cut_rows(self, rows: list[Any], lines: list[int]) -> None:
        """Bring rows that are too wide to the width of the table, in place.

        A tab too many in a TSV belongs to the last text.
        """
        width = self.columns.width
        for number, row in enumerate(rows):
            if len(row) <= width or self.kind.keyed:
                continue
            if self.format.name == "TSV" and self.columns.text[-1] == width - 1:
                rows[number] = [*row[: width - 1], " ".join(row[width - 1 :])]
            elif any(cell.strip() for cell in row[width:]):
                raise UserError(
                    f"{self.place(lines[number])}: {len(row)} columns where {width} are expected, "
                    f"{shown(row[width])} is too many; put the field that holds the delimiter in double quotes"
                )

    def column_cells(self, rows: list[Any], lines: list[int], index: int) -> list[str]:
        """The cells of one column as strings. Raises UserError for rows that lack it."""
        columns, cells = self.columns, []
        for row, line in zip(rows, lines):
            cell = self.cell(row, index)
            if cell is MISSING:
                found = (
                    f"no key {shown(columns.header[index])}"
                    if isinstance(row, dict) and columns.header is not None
                    else f"{len(row)} columns, but {columns.width} are expected"
                )
                raise UserError(f"{self.place(line)}: {found}; complete or remove the line")
            text = json.dumps(cell) if isinstance(cell, list) and index in self.set_columns() else cell_text(cell)
            if text is None:
                raise UserError(
                    f"{self.place(line)}: {columns.describe(index)} holds {shown(cell)}; give a string or a number"
                )
            cells.append(text)
        return cells

    def cell(self, row: Any, index: int) -> Any:
        """The cell of a row in a column, or MISSING."""
        if isinstance(row, dict):
            return row.get(self.columns.header[index], MISSING) if self.columns.header is not None else MISSING
        return row[index] if index < len(row) else MISSING

    def read_labels(self, rows: list[Any], lines: list[int], label: int) -> list[str]:
        """The label of each row, stripped; where they are optional, an empty one is "".

        label: the index of the column. NaN and infinity in JSON are as good as empty.
        """
        names = [cell.strip() for cell in self.column_cells(rows, lines, label)]
        for number, (row, name) in enumerate(zip(rows, names)):
            if not name or is_not_finite(self.cell(row, label)):
                if self.labels != "optional":
                    raise self.empty_label(lines[number], name or "empty")
                names[number] = ""
        for name in dict.fromkeys(names):
            # Format characters may be part of a word, as in Persian, and stay.
            if sanitize(name) != name:
                where = f"{self.place(lines[names.index(name)])}: the label {shown(name)}"
                raise UserError(
                    f"{where} in {self.columns.describe(label)} holds a character that cannot be printed; remove it, "
                    "or name another label column (--label-column)"
                )
        return names

    def empty_label(self, line: int, found: str) -> UserError:
        """The error for a label that is empty or as good as that."""
        assert self.columns.label is not None
        where = self.columns.describe(self.columns.label)
        return UserError(f"{self.place(line)}: the label in {where} is {found}; fill it in or remove the line")

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the file."""
        return sha256_of(split_member(self.source).file)

    def described_columns(self, labelled: bool = True) -> str:
        """The format and the columns in words, read or guessed. labelled: whether there are labels."""
        parts, columns = [self.format.name], self.columns
        if self.format.name != "plain lines" and not self.kind.header:
            if self.format.delimiter is not None:
                parts[0] += ", no header" if columns.header is None else ", header"
            parts.append("text: " + columns.describe(*columns.text))
            found = columns.label_indices() if labelled else []
            named = "label: " if self.sets is None else "labels: "
            parts.append(named + columns.describe(*found) if found else "no label")
        return "; ".join(parts)


def is_not_finite(cell: Any) -> bool:
    return isinstance(cell, float) and not math.isfinite(cell)
