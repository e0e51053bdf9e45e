"""Files labelled row by row: the rows as they are read, and the cells that are added to them."""

import io
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.blocks import stream_chunks
from engine.data.config import DataConfig
from engine.data.file_texts import FileTexts
from engine.data.files import TextFiles
from engine.data.folders import ClassSource
from engine.data.progress import Phase
from engine.data.reading import columns_of
from engine.data.texts import shown
from engine.data.writing import TableWriter, checked_suffix, table_writer, text_writer
from engine.serving.answers import Wanted, WantedSets
from engine.support.errors import UserError
from engine.support.files import write_whole
from engine.support.output import echo
from engine.training.prediction import Predictor

PIECE_ROWS = 4096  # labelled at a time
STDIN = "-"


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
