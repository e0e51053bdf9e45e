"""Tables written row by row: CSV, TSV, JSON lines, a JSON array or parquet, by the suffix of the file; also gzip."""

import contextlib
import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from engine.data.parquet import require_pyarrow
from engine.data.tables import cell_text
from engine.data.texts import shown
from engine.support.errors import UserError
from engine.support.files import AnyPath

SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet")
Row = Sequence[Any] | dict[str, Any]


class TableWriter:
    """Writes rows of a table. names: of the columns of each row; added: of further cells, {name: their type}."""

    def __init__(self, names: Sequence[str], added: dict[str, type]) -> None:
        self.names, self.added = list(names), added

    def write(self, rows: Sequence[Row], further: Sequence[Sequence[Any]]) -> None:
        """Put rows behind those before. rows: lists of cells, or dicts; further: the added cells of each.

        KeyError for a key that is no column, where the format must know all columns at its beginning.
        """
        raise NotImplementedError

    def finish(self) -> None:
        """Write the end of the table."""

    def cells(self, rows: Sequence[Row], further: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """All cells of some rows in the order of the columns, those of the rows as text."""
        return [[*self.own_cells(row), *more] for row, more in zip(rows, further)]

    def own_cells(self, row: Row) -> list[str]:
        if not isinstance(row, dict):
            return [*row, *[""] * (len(self.names) - len(row))]
        unknown = row.keys() - set(self.names)
        if unknown:
            raise KeyError(min(unknown))
        return [as_text(row.get(name)) for name in self.names]


class CsvWriter(TableWriter):
    """Writes CSV, or TSV, with a header."""

    def __init__(self, file: TextIO, delimiter: str, names: Sequence[str], added: dict[str, type]) -> None:
        super().__init__(names, added)
        self.some, self.all = (
            csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        self.write_row([*names, *added])

    def write(self, rows: Sequence[Row], further: Sequence[Sequence[Any]]) -> None:
        for row in self.cells(rows, further):
            self.write_row(row)

    def write_row(self, row: list[Any]) -> None:
        """Write a row, in quotes where the csv module would forget them: around a CR."""
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (self.all if has_return else self.some).writerow(row)


class JsonWriter(TableWriter):
    """Writes JSON objects, each on its line, or as one array; those of JSON stay as they are."""

    def __init__(self, file: TextIO, array: bool, names: Sequence[str], added: dict[str, type]) -> None:
        super().__init__(names, added)
        require_distinct(self.names)
        self.file, self.array, self.empty = file, array, True

    def write(self, rows: Sequence[Row], further: Sequence[Sequence[Any]]) -> None:
        for row, more in zip(rows, further):
            value = {**(row if isinstance(row, dict) else dict(zip(self.names, row))), **dict(zip(self.added, more))}
            line = json.dumps(value, ensure_ascii=False, default=str)
            before = "" if not self.array else "[\n" if self.empty else ",\n"
            self.file.write(f"{before}{line}" if self.array else f"{line}\n")
            self.empty = False

    def finish(self) -> None:
        if self.array:
            self.file.write("[]\n" if self.empty else "\n]\n")


class ParquetWriter(TableWriter):
    """Writes parquet; the columns of rows are strings."""

    def __init__(self, path: AnyPath, names: Sequence[str], added: dict[str, type]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(names, added)
        require_distinct(self.names)
        kinds = {str: pa.string(), float: pa.float64()}
        self.schema = pa.schema([*((n, pa.string()) for n in names), *((n, kinds[t]) for n, t in added.items())])
        self.file = pq.ParquetWriter(str(path), self.schema)

    def write(self, rows: Sequence[Row], further: Sequence[Sequence[Any]]) -> None:
        import pyarrow as pa

        columns = [pa.array(cells, field.type) for cells, field in zip(zip(*self.cells(rows, further)), self.schema)]
        if columns:
            self.file.write_table(pa.Table.from_arrays(columns, schema=self.schema))

    def finish(self) -> None:
        self.file.close()


def checked_suffix(path: AnyPath) -> str:
    """The suffix that tells the format of a table to be written. UserError for an unknown one."""
    name = Path(path).name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES or suffix == ".parquet" and name.endswith(".gz"):
        known = f"{', '.join(SUFFIXES[:-1])} (also with .gz) or {SUFFIXES[-1]}"
        raise UserError(f"--output {path}: its suffix tells no format of tables; end the name in {known}")
    if suffix == ".parquet":
        require_pyarrow(f"--output {path}")
    return suffix


@contextlib.contextmanager
def table_writer(
    path: AnyPath, suffix: str, packed: bool, names: Sequence[str], added: dict[str, type]
) -> Iterator[TableWriter]:
    """A TableWriter of a file. suffix: of its format; packed: whether to write gzip; names, added: as there."""
    if suffix == ".parquet":
        writer: TableWriter = ParquetWriter(path, names, added)
        yield writer
        writer.finish()
        return
    with open(path, "wb") as raw:
        binary = cast(BinaryIO, gzip.GzipFile("", "wb", fileobj=raw, mtime=0)) if packed else raw
        with io.TextIOWrapper(binary, "utf-8", errors="replace", newline="") as file:
            writer = text_writer(file, suffix, names, added)
            yield writer
            writer.finish()


def text_writer(file: TextIO, suffix: str, names: Sequence[str], added: dict[str, type]) -> TableWriter:
    """The TableWriter of a text file, by the suffix of its format."""
    if suffix in (".csv", ".tsv", ".tab"):
        return CsvWriter(file, "," if suffix == ".csv" else "\t", names, added)
    return JsonWriter(file, suffix == ".json", names, added)


def as_text(value: Any) -> str:
    """A cell as text: arrays and objects as JSON."""
    text = cell_text(value)
    return json.dumps(value, ensure_ascii=False, default=str) if text is None else text


def require_distinct(names: list[str]) -> None:
    """Raise UserError where two columns have one name, which JSON and parquet cannot hold."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two columns are named {shown(twice)}, which only CSV and TSV can hold; write one of these")
