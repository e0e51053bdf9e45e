"""Parquet files as tables of rows, batch by batch. pyarrow (extra `hub`) is imported only when there is one to read."""

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from engine.data.tables import Table
from engine.support.command import install_extra
from engine.support.errors import UserError, first_line
from engine.support.files import AnyPath

BATCH_ROWS = 4096


def require_pyarrow(what: object) -> None:
    """Raise UserError unless pyarrow can be imported: to be called before anything is fetched.

    what: the file or corpus.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError(
            f"{what}: pyarrow reads it and cannot be imported ({first_line(error)}); run {install_extra('hub')}"
        ) from None


@contextlib.contextmanager
def parquet_file(path: AnyPath) -> Iterator[Any]:
    """The open pyarrow ParquetFile of a path. ValueError, with the reason, for what cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(os.fspath(path)) as file:
            yield file
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no parquet file that can be read ({first_line(error)})") from None


def parquet_tables(path: AnyPath, columns: Sequence[str] | None = None) -> Iterator[Table]:
    """The rows of a parquet file as dicts, in Tables whose lines are the numbers of rows, from 1.

    columns: those to read, by default all. UserError where pyarrow is missing or the file cannot be read.
    """
    require_pyarrow(f"{path}: is a parquet file")
    try:
        with parquet_file(path) as file:
            before = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield Table(batch.to_pylist(), list(range(before + 1, before + 1 + batch.num_rows)))
                before += batch.num_rows
    except ValueError as error:
        reason = str(error).removeprefix("it ")
        raise UserError(f"{path}: {reason}; write the file again, or save it as CSV or JSON lines") from None
