"""Texts and labels of local files, one or several, block by block."""

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from engine.data.file_texts import FileTexts
from engine.data.folders import ClassSource, class_sources
from engine.data.texts import LabelledTexts, TextBlock, joined
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.support.paths import names_of


class TextFiles:
    """The texts and labels of one file or of several, one after the other; arguments as those of FileTexts.

    path: of a file, a folder of classes (folders.py), a pattern ("part-*.csv.gz"; files in the order of their names),
    or several of these, separated by commas. All have the same columns.
    """

    def __init__(self, path: AnyPath, **options: Any) -> None:
        self.source = os.fspath(path)
        self.files: list[FileTexts | ClassSource] = []
        for name in names_of(self.source):
            if os.path.isdir(name):
                require_plain_options(name, options)
                self.files += class_sources(name, options.get("labels", "required"), options.get("encoding", ""))
            else:
                self.files.append(FileTexts(name, **options))
        first = self.files[0]
        for file in self.files[1:]:
            if file.described_columns() != first.described_columns():
                raise UserError(
                    f"{file.source}: has other columns ({file.described_columns()}) than {first.source} "
                    f"({first.described_columns()}); read files of one kind together, or name the columns"
                )

    def blocks(self) -> Iterator[TextBlock]:
        """The texts of all files, in blocks of consecutive ones of one file."""
        for file in self.files:
            yield from file.blocks()

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the files, of how they are read, and of their columns."""
        parts = [(file.described_columns(), file.labels, file.digest()) for file in self.files]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def warnings(self) -> list[str]:
        """A line on each column that seems to tell the label."""
        return [warning for file in self.files for warning in file.warnings]

    def note(self, count: int, labelled: bool = True) -> str:
        """One line on what was read and what was guessed. count: of texts; labelled: whether they have labels."""
        first = self.files[0]
        described = f"{first.described_columns(labelled)}; {count} row" + ("s" if count != 1 else "")
        if len(self.files) == 1 or isinstance(first, ClassSource):
            return described
        return f"{len(self.files)} files; {described}"


def require_plain_options(folder: str, options: dict[str, Any]) -> None:
    """Raise UserError for options of tables where a folder is given, which has no columns."""
    for name in ("text_columns", "label_column", "label_columns", "delimiter", "quotechar"):
        if options.get(name):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{folder}: is a folder of classes, whose names are the labels; leave {option} out")


def read_texts(path: AnyPath, **options: Any) -> tuple[LabelledTexts, str]:
    """Read all texts and labels of TextFiles: (LabelledTexts, one line on what was read and what was guessed)."""
    files = TextFiles(path, **options)
    texts = joined(files.blocks(), files.source)
    return texts, files.note(len(texts), texts.labels is not None)
