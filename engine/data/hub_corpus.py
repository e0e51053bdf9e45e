"""Corpora in parquet files of datasets on the Hugging Face hub, at a fixed commit.

pyarrow (extra `hub`) is imported only when there is a file to read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.hub import cached_file, damaged, fetch_file
from engine.data.parquet import parquet_file, require_pyarrow
from engine.data.texts import Corpus, LabelledTexts, NamedCorpus, mismatch, shown
from engine.support.files import AnyPath


def read_parquet(path: Path, text_columns: tuple[str, ...], label_column: str) -> tuple[list[str], list[int]]:
    """(texts, label numbers) of all rows of a parquet file, in their order: text columns are joined by a space.

    Raises ValueError, with the reason in words that follow "FILE: ", for a damaged file and for other columns.
    """
    texts: list[str] = []
    numbers: list[int] = []
    with parquet_file(path) as file:
        require_columns(file.schema_arrow, text_columns, label_column)
        for batch in file.iter_batches(columns=[*text_columns, label_column]):  # batches: arrow's copy stays small
            cells = (batch.column(name).to_pylist() for name in text_columns)
            texts += [" ".join(cell or "" for cell in row).strip() for row in zip(*cells)]
            numbers += batch.column(label_column).to_pylist()
    return texts, numbers


def require_columns(schema: Any, text_columns: tuple[str, ...], label_column: str) -> None:
    """Raise ValueError unless the columns exist, those of the text as strings, that of the label as integers."""
    from pyarrow.types import is_integer, is_large_string, is_string

    for name in (*text_columns, label_column):
        if name not in schema.names:
            raise ValueError(f"it has no column {shown(name)} among {', '.join(schema.names)}")
        kind = schema.field(name).type
        if not (is_integer(kind) if name == label_column else is_string(kind) or is_large_string(kind)):
            expected = "integers" if name == label_column else "strings"
            raise ValueError(f"its column {shown(name)} holds {kind} instead of {expected}")


@dataclass(frozen=True, kw_only=True)
class HubCorpus(NamedCorpus):
    """A corpus in a dataset of the hub: the files of its training and test texts, and the meaning of their columns.

    revision: the commit, all 40 digits. text_columns: joined by a space. class_names: the class of each label number.
    download_bytes: of all files together.
    """

    repository: str
    revision: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    text_columns: tuple[str, ...]
    label_column: str
    class_names: tuple[str, ...]
    download_bytes: int

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def source(self) -> str:
        return f"dataset {self.repository} of the Hugging Face hub"

    def is_cached(self, cache_dir: AnyPath | None = None) -> bool:
        return all(
            cached_file(self.repository, self.revision, file, cache_dir)
            for file in (*self.train_files, *self.test_files)
        )

    def load(self, name: str, cache_dir: AnyPath | None = None) -> Corpus:
        require_pyarrow(f"corpus {name}")
        train, test = (
            [fetch_file(self.repository, self.revision, f, cache_dir) for f in files]
            for files in (self.train_files, self.test_files)
        )
        return Corpus(
            name, self.read(train, self.train_rows, cache_dir), test=self.read(test, self.test_rows, cache_dir)
        )

    def read(self, paths: list[Path], rows: int, cache_dir: AnyPath | None) -> LabelledTexts:
        """LabelledTexts of the files of one split, one after the other; UserError for unexpected content."""
        texts: list[str] = []
        labels: list[str] = []
        for path in paths:
            try:
                some, numbers = read_parquet(path, self.text_columns, self.label_column)
                labels += self.labels(numbers)
            except ValueError as error:
                raise damaged(path, error, self.repository, cache_dir) from None
            texts += some
        where = paths[0] if len(paths) == 1 else paths[0].parent
        data = LabelledTexts(texts, labels, str(where))
        if reason := mismatch(data, rows, self.classes):
            raise damaged(where, reason, self.repository, cache_dir)
        return data

    def labels(self, numbers: list[int]) -> list[str]:
        """The class of each label number. ValueError for an unknown number: unlabelled texts have -1."""
        known = dict(enumerate(self.class_names))
        for row, number in enumerate(numbers, start=1):
            if number not in known:
                raise ValueError(f"row {row} has the label {number} instead of one from 0 to {self.classes - 1}")
        return [known[number] for number in numbers]
