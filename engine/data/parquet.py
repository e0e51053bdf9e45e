"""Texts and label numbers of a parquet file. pyarrow (extra `hub`) is imported only when there is one to read."""

import importlib

from engine.data.texts import shown
from engine.errors import UserError, first_line


def require_pyarrow(what):
    """Raise UserError unless pyarrow can be imported: to be asked before anything is fetched. what: the file or corpus."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError(f"{what}: pyarrow reads it and cannot be imported ({first_line(error)}); run pip install -e '.[hub]'") from None


def read_parquet(path, text_columns, label_column):
    """(texts, numbers) of all rows, in their order: text columns joined by a space, as those of local files, and integers.

    Raises ValueError, with the reason in words that follow "FILE: ", for a damaged file and for other columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts, numbers = [], []
    try:
        with pq.ParquetFile(path) as file:
            require_columns(file.schema_arrow, text_columns, label_column)
            for batch in file.iter_batches(columns=[*text_columns, label_column]):  # batches: arrow's copy stays small
                cells = (batch.column(name).to_pylist() for name in text_columns)
                texts += [" ".join(cell or "" for cell in row).strip() for row in zip(*cells)]
                numbers += batch.column(label_column).to_pylist()
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no parquet file that can be read ({first_line(error)})") from None
    return texts, numbers


def require_columns(schema, text_columns, label_column):
    """Raise ValueError unless the columns exist, those of the text as strings, that of the label as integers."""
    from pyarrow.types import is_integer, is_large_string, is_string

    for name in (*text_columns, label_column):
        if name not in schema.names:
            raise ValueError(f"it has no column {shown(name)} among {', '.join(schema.names)}")
        kind = schema.field(name).type
        if not (is_integer(kind) if name == label_column else is_string(kind) or is_large_string(kind)):
            expected = "integers" if name == label_column else "strings"
            raise ValueError(f"its column {shown(name)} holds {kind} instead of {expected}")
