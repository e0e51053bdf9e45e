"""Texts and labels from local files, block by block."""

import bisect
import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from engine.arrays.checks import check_choice
from engine.data.blocks import Block, Blocks
from engine.data.columns import choose_columns
from engine.data.fields import cells_of, regular_fields, texts_of
from engine.data.label_sets import LabelCells
from engine.data.strings import strings_from
from engine.data.tables import MISSING, cell_text, format_of, read_rows
from engine.data.texts import LabelledTexts, TextBlock, joined, shown
from engine.support.errors import UserError
from engine.support.files import AnyPath, sha256_of
from engine.support.paths import names_of
from engine.support.text import sanitize

HEAD_BYTES = 1 << 20  # by which format and columns are chosen


class FileTexts:
    """The texts and labels of a file in CSV, TSV, JSON lines or plain lines (UTF-8, also gzip).

    text_columns: names or positions, one or a sequence; several are joined by a space. label_column: a name or
    position. Positions count from 1, as in cut. Columns that are not given are guessed, by the first MiB of the file,
    from the names in a header; without one the label is the first or last column, whichever repeats its values more,
    and the text all the others.
    labels: "required", "optional" (None where the file has no label column, or an empty one) or "ignored" (None).
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
        separator: str | None = None,
        label_columns: Sequence[str | int] | None = None,
    ) -> None:
        check_choice("labels", labels, ("required", "optional", "ignored"))
        self.source, self.labels = os.fspath(path), labels
        if isinstance(text_columns, (str, int)):
            text_columns = [text_columns]
        block = next(iter(Blocks(self.source)))
        cut = block.data.rfind(b"\n", 0, HEAD_BYTES) + 1 if len(block.data) > HEAD_BYTES else len(block.data)
        cut, whole = cut or len(block.data), block.last and cut == len(block.data)
        head = block.data[:cut].decode("utf-8")
        plain = labels != "required" and text_columns is None and label_column is None
        self.format = format_of(self.source, head, whole, plain)
        table = read_rows(self.source, self.format, head, last=whole)
        if not table.rows:
            raise UserError(f"{self.source}: the file holds no rows; give one with at least one text")
        self.columns = choose_columns(
            self.source, self.format, table.rows, text_columns, label_column, labels, label_columns
        )
        self.sets = None if separator is None else LabelCells(separator, self.columns.label_names())
        has_header = self.columns.header is not None and self.format.delimiter is not None
        self.header_line = table.lines[0] if has_header else 0
        if whole and len(table.rows) == has_header:
            raise UserError(f"{self.source}: the file holds a header and no rows; give one with at least one text")

    def blocks(self) -> Iterator[TextBlock]:
        """The texts of the file, in blocks of consecutive ones."""
        blocks = Blocks(self.source)
        empty = filled = None  # lines of labels, where they are optional
        for block in blocks:
            read = self.regular_block(block, blocks) or self.any_block(block, blocks)
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

    def any_block(self, block: Block, blocks: Blocks) -> TextBlock:
        """The texts of any Block."""
        table = read_rows(self.source, self.format, block.data.decode("utf-8"), block.line, block.last)
        if table.open_line is not None:
            line_ends = np.flatnonzero(np.frombuffer(block.data, np.uint8) == ord("\n"))
            skipped = table.open_line - block.line
            blocks.take_back(block.data[line_ends[skipped - 1] + 1 if skipped else 0 :])
        first = bisect.bisect_right(table.lines, self.header_line)
        rows, lines = table.rows[first:], table.lines[first:]
        self.cut_rows(rows, lines)
        cells = [self.column_cells(rows, lines, index) for index in self.columns.text]
        texts = [" ".join(parts).strip() for parts in zip(*cells)]
        label, columns = self.label(), self.set_columns()
        names = None if label is None else self.read_labels(rows, lines, label)
        if columns:
            names = self.read_sets([self.column_cells(rows, lines, column) for column in columns], lines)
        return TextBlock(strings_from(texts), names, lines, self.source)

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
            return UserError(f"{self.source}, line {lines[row]}: {what}")

        return self.sets.read([tuple(cell.strip() for cell in cells) for cells in zip(*columns)], wrong)

    def cut_rows(self, rows: list[Any], lines: list[int]) -> None:
        """Bring rows that are too wide to the width of the table, in place.

        A tab too many in a TSV belongs to the last text.
        """
        width = self.columns.width
        for number, row in enumerate(rows):
            if len(row) <= width or self.format.name == "JSON lines":
                continue
            if self.format.name == "TSV" and self.columns.text[-1] == width - 1:
                rows[number] = [*row[: width - 1], " ".join(row[width - 1 :])]
            elif any(cell.strip() for cell in row[width:]):
                raise UserError(
                    f"{self.source}, line {lines[number]}: {len(row)} columns where {width} are expected, "
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
                raise UserError(f"{self.source}, line {line}: {found}; complete or remove the line")
            text = json.dumps(cell) if isinstance(cell, list) and index in self.set_columns() else cell_text(cell)
            if text is None:
                raise UserError(
                    f"{self.source}, line {line}: {columns.describe(index)} holds {shown(cell)}; "
                    "give a string or a number"
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
                where = f"{self.source}, line {lines[names.index(name)]}: the label {shown(name)}"
                raise UserError(
                    f"{where} in {self.columns.describe(label)} holds a character that cannot be printed; remove it, "
                    "or name another label column (--label-column)"
                )
        return names

    def empty_label(self, line: int, found: str) -> UserError:
        """The error for a label that is empty or as good as that."""
        assert self.columns.label is not None
        where = self.columns.describe(self.columns.label)
        return UserError(f"{self.source}, line {line}: the label in {where} is {found}; fill it in or remove the line")

    def described_columns(self, labelled: bool = True) -> str:
        """The format and the columns in words, read or guessed. labelled: whether there are labels."""
        parts, columns = [self.format.name], self.columns
        if self.format.name != "plain lines":
            if self.format.delimiter is not None:
                parts[0] += ", no header" if columns.header is None else ", header"
            parts.append("text: " + columns.describe(*columns.text))
            found = columns.label_indices() if labelled else []
            named = "label: " if self.sets is None else "labels: "
            parts.append(named + columns.describe(*found) if found else "no label")
        return "; ".join(parts)


def is_not_finite(cell: Any) -> bool:
    return isinstance(cell, float) and not math.isfinite(cell)


class TextFiles:
    """The texts and labels of one file or of several, one after the other; arguments as those of FileTexts.

    path: of a file, a pattern ("part-*.csv.gz"; files in the order of their names), or several of these, separated by
    commas. All have the same columns.
    """

    def __init__(self, path: AnyPath, **options: Any) -> None:
        self.source = os.fspath(path)
        self.files = [FileTexts(name, **options) for name in names_of(self.source)]
        first = self.files[0]
        for file in self.files[1:]:
            if file.described_columns() != first.described_columns():
                raise UserError(
                    f"{file.source}: has other columns ({file.described_columns()}) than {first.source} "
                    f"({first.described_columns()}); read files of one kind together, or name the columns"
                )

    def paths(self) -> list[str]:
        """The paths of the files."""
        return [file.source for file in self.files]

    def blocks(self) -> Iterator[TextBlock]:
        """The texts of all files, in blocks of consecutive ones of one file."""
        for file in self.files:
            yield from file.blocks()

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the files, of how they are read, and of their columns."""
        parts = [(file.described_columns(), file.labels, sha256_of(file.source)) for file in self.files]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def note(self, count: int, labelled: bool = True) -> str:
        """One line on what was read and what was guessed. count: of texts; labelled: whether they have labels."""
        described = f"{self.files[0].described_columns(labelled)}; {count} row" + ("s" if count != 1 else "")
        return described if len(self.files) == 1 else f"{len(self.files)} files; {described}"


def read_texts(path: AnyPath, **options: Any) -> tuple[LabelledTexts, str]:
    """Read all texts and labels of TextFiles: (LabelledTexts, one line on what was read and what was guessed)."""
    files = TextFiles(path, **options)
    texts = joined(files.blocks(), files.source)
    return texts, files.note(len(texts), texts.labels is not None)
