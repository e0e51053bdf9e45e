"""The answers of predict: labels and probabilities as cells, lines of text or JSON; and files labelled row by row."""

import io
import json
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.data.blocks import stream_chunks
from engine.data.config import DataConfig
from engine.data.file_texts import FileTexts
from engine.data.files import TextFiles
from engine.data.folders import ClassSource
from engine.data.label_sets import LabelCells
from engine.data.progress import Phase
from engine.data.reading import columns_of
from engine.data.texts import shown
from engine.data.writing import TableWriter, checked_suffix, table_writer, text_writer
from engine.support.errors import UserError
from engine.support.files import write_whole
from engine.support.output import echo, takes_unicode
from engine.training.prediction import Predictor, chosen
from engine.types import Floats1d, Floats2d

PIECE_ROWS = 4096  # labelled at a time
STDIN = "-"
DIGITS = 6


class Wanted(NamedTuple):
    """The answer to each text: its `top` labels, none below `threshold`, and all `probabilities` or not.

    factors: (C,) by which probabilities are multiplied to put the labels in order, or None.
    """

    top: int = 1
    threshold: float = 0.0
    probabilities: bool = False
    factors: Floats1d | None = None

    def columns(self, classes: Sequence[str], label: str) -> dict[str, type]:
        """{name: type} of the columns of cells(). label: the name of the first."""
        names: dict[str, type] = {}
        for rank in range(min(self.top, len(classes))):
            end = f"_{rank + 1}" if rank else ""
            names.update({f"{label}{end}": str, f"probability{end}": float})
        return {**names, **({f"p({name})": float for name in classes} if self.probabilities else {})}

    def told_of_empty(self, count: int) -> str:
        """The words on `count` rows whose label is empty, behind the number of all."""
        return f", {count:,} of them below the threshold {self.threshold:g}" if self.threshold else ""

    def cells(self, probabilities: Floats2d, classes: Sequence[str]) -> list[list[Any]]:
        """The cells of each text: labels by falling probability times factor, each with its probability, then those of
        all classes.

        The first label is empty where its probability is below the threshold. probabilities: (N, C).
        """
        weighted = probabilities if self.factors is None else probabilities * self.factors
        best = np.argsort(-weighted, axis=1, kind="stable")[:, : self.top]
        most = np.take_along_axis(probabilities, best, axis=1)
        rows = []
        for ranks, values, row in zip(best.tolist(), most.tolist(), probabilities.tolist()):
            cells: list[Any] = []
            for rank, value in zip(ranks, values):
                cells += [classes[rank], round(value, DIGITS)]
            if values[0] < self.threshold:
                cells[0] = ""
            rows.append([*cells, *([round(value, DIGITS) for value in row] if self.probabilities else [])])
        return rows


class WantedSets(NamedTuple):
    """The answer to each text that may have several labels: those that reach their thresholds.

    thresholds: C numbers; form: how labels stand in one cell; top: how many of them at most, the most probable ones, or
    None for all; probabilities: whether those of all classes are told.
    """

    thresholds: Sequence[float] | Floats1d
    form: LabelCells
    top: int | None = None
    probabilities: bool = False

    def columns(self, classes: Sequence[str], label: str) -> dict[str, type]:
        """{name: type} of the columns of cells(). label: the name of the first."""
        return {label: str, **({f"p({name})": float for name in classes} if self.probabilities else {})}

    def told_of_empty(self, count: int) -> str:
        """The words on `count` rows without labels, behind the number of all."""
        return f", {count:,} of them without a label" if count else ""

    def cells(self, probabilities: Floats2d, classes: Sequence[str]) -> list[list[Any]]:
        """The cells of each text: its labels by falling probability, then the probabilities of all classes."""
        rows = []
        for row in probabilities:
            cell = self.form.write([classes[c] for c in self.chosen(row)])
            rows.append([cell, *([round(p, DIGITS) for p in row.tolist()] if self.probabilities else [])])
        return rows

    def chosen(self, probabilities: Floats1d) -> list[int]:
        """The classes that are told of a text, the most probable first. probabilities: (C,)."""
        return chosen(probabilities, np.asarray(self.thresholds))[: self.top]


def answers(
    texts: list[str], probabilities: Floats2d, classes: list[str], wanted: Wanted | WantedSets, as_json: bool
) -> str:
    """A line for each text: labels and probabilities between tabs, or JSON with all probabilities."""
    if isinstance(wanted, WantedSets):
        return answers_of_sets(texts, probabilities, classes, wanted, as_json)
    rows = wanted.cells(probabilities, classes)
    if not as_json:
        return "".join(
            ["\t".join([f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row]) + "\n" for row in rows]
        )
    names = list(wanted._replace(probabilities=False).columns(classes, "label"))
    lines = (
        {
            "text": text,
            **dict(zip(names, row)),
            "probabilities": {name: round(p, DIGITS) for name, p in zip(classes, each)},
        }
        for text, row, each in zip(texts, rows, probabilities.tolist())
    )
    return "".join([json.dumps(line, ensure_ascii=not takes_unicode()) + "\n" for line in lines])


def answers_of_sets(
    texts: list[str], probabilities: Floats2d, classes: list[str], wanted: WantedSets, as_json: bool
) -> str:
    """A line for each text that may have several labels: each with its probability between tabs, or JSON."""
    lines = []
    for text, row in zip(texts, probabilities):
        found = wanted.chosen(row)
        if as_json:
            named = {name: round(p, DIGITS) for name, p in zip(classes, row.tolist())}
            line = {"text": text, "labels": [classes[c] for c in found], "probabilities": named}
            lines.append(json.dumps(line, ensure_ascii=not takes_unicode()))
        else:
            lines.append("\t".join(f"{classes[c]}\t{row[c]:.4f}" for c in found))
    return "".join([line + "\n" for line in lines])


class InputTable:
    """The rows of the files to be labelled. names: of their columns; note: one line on how they are read.

    source: as in TextFiles, or "-" for standard input; a pipe is read as it comes.
    """

    def __init__(self, source: str, data: DataConfig) -> None:
        options = columns_of(data) | {"label_column": None, "label_columns": None, "labels": "ignored"}
        self.files: Sequence[FileTexts | ClassSource]
        if source == STDIN or is_pipe(source):
            stream = sys.stdin.buffer if source == STDIN else open(source, "rb", buffering=0)
            name = "standard input" if source == STDIN else source
            self.files = [FileTexts(name, **options, stream=stream_chunks(stream))]
        else:
            self.files = TextFiles(source, **options).files
        first = self.files[0]
        self.names = names_in(first)
        for file in self.files:
            if names_in(file) != self.names:
                raise UserError(f"{file.source}: has other columns than {first.source}; label the files one by one")
        self.note = f"{first.source}: {first.described_columns(labelled=False).removesuffix('; no label')}"

    def pieces(self) -> Iterator[tuple[list[Any], list[str], Callable[[int], str]]]:
        """(rows, their texts, a function of a row's number that names its place) of PIECE_ROWS rows at most."""
        for file in self.files:
            tables: Iterator[tuple[list[Any], list[int], list[str]]]
            if isinstance(file, ClassSource):
                tables = ((rows, list(range(len(rows))), texts) for rows, texts in file.rows())
            else:
                tables = file.rows()
            for rows, lines, texts in tables:
                for first in range(0, len(rows), PIECE_ROWS):
                    some = slice(first, first + PIECE_ROWS)
                    yield rows[some], texts[some], place_in(file, lines[some])


def names_in(file: FileTexts | ClassSource) -> list[str]:
    """The names of the columns of a file, of a table without a header column1, column2, …"""
    if isinstance(file, ClassSource):
        return list(file.header)
    if file.columns.header is not None:
        return file.columns.header
    if file.format.delimiter is None:
        return ["text"]
    return [f"column{number}" for number in range(1, file.columns.width + 1)]


def place_in(file: FileTexts | ClassSource, lines: Sequence[int]) -> Callable[[int], str]:
    return lambda row: file.source if isinstance(file, ClassSource) else file.place(lines[row])


def is_pipe(path: str) -> bool:
    """Whether a path is a pipe or the like, which can be read only once."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def label_file(
    predictor: Predictor,
    table: InputTable,
    wanted: Wanted | WantedSets,
    output: str | None,
    as_json: bool,
    log: Callable[[str], None],
) -> None:
    """Label the rows of a table and write them with their labels: to the file `output`, or to standard output.

    There they are CSV, or with as_json JSON lines. UserError where a column has the name of an added one.
    """
    added = wanted.columns(predictor.classes, "predicted")
    for name in added:
        if name in table.names:
            raise UserError(f"{table.files[0].source}: has a column {shown(name)} already; rename or remove it")
    log(table.note)
    if output is None:
        text = io.StringIO()
        writer = text_writer(text, ".jsonl" if as_json else ".csv", table.names, added)
        for _ in labelled(predictor, table, wanted, writer):
            echo(text.getvalue(), nl=False, data=True)
            text.seek(0)
            text.truncate()
        echo(text.getvalue(), nl=False, data=True)
        return
    suffix, packed = checked_suffix(output), output.lower().endswith(".gz")
    counts = np.zeros(2, np.int64)

    def write(path: Path) -> None:
        with table_writer(path, suffix, packed, table.names, added) as writer, phase:
            for some in labelled(predictor, table, wanted, writer):
                counts[:] += some
                phase.advance(some[0])

    phase = Phase("label", "labelled", None, log)
    write_whole(output, write)
    log(f"{output}: {counts[0]:,} rows labelled{wanted.told_of_empty(int(counts[1]))}")


def labelled(
    predictor: Predictor, table: InputTable, wanted: Wanted | WantedSets, writer: TableWriter
) -> Iterator[tuple[int, int]]:
    """Write all rows with their labels; yields (rows, rows whose label is empty) of each piece that was written."""
    waiting: deque[tuple[list[Any], Callable[[int], str]]] = deque()

    def texts() -> Iterator[list[str]]:
        for rows, texts, place in table.pieces():
            waiting.append((rows, place))
            yield texts

    for _, probabilities in predictor.of_blocks(texts()):
        rows, place = waiting.popleft()
        cells = wanted.cells(probabilities, predictor.classes)
        try:
            writer.write(rows, cells)
        except KeyError as error:
            (name,) = error.args
            row = next(number for number, row in enumerate(rows) if name in row)
            raise UserError(
                f"{place(row)}: has a key {shown(name)} that the first rows lack; write JSON lines "
                "(--output FILE.jsonl, or --json)"
            ) from None
        yield len(rows), sum(row[0] == "" for row in cells)
