"""Folders whose names are labels: a folder of text files for each class, or a file of lines for each class.

A folder that holds folders has one per class: each file in them is a text. One that holds files alone, all with the
suffix .txt (or .txt.gz), has one per class: each of their lines is a text, blank ones are skipped. Hidden files are
none. The label is the name of the folder, or that of the file without its suffix.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.data.blocks import Blocks, check_encoding, require_utf8_lines, unpacked_chunks
from engine.data.fields import regular_fields, texts_of
from engine.data.strings import spans_of, strings_from, to_list
from engine.data.tables import Format
from engine.data.texts import TextBlock, listed, shown
from engine.support.errors import UserError
from engine.support.files import AnyPath, sha256_of
from engine.support.text import sanitize

BLOCK_CHARACTERS = 1 << 21
PLAIN = Format("plain lines")
Row = dict[str, str]


class ClassSource:
    """The texts of one class. source: their file or folder; name: the class; labels: as in FileTexts."""

    kind = ""
    header: tuple[str, ...] = ()

    def __init__(self, path: Path, labels: str, encoding: str) -> None:
        self.source, self.encoding, self.labels = str(path), check_encoding(encoding), labels
        self.name = path.name.strip()
        self.warnings: list[str] = []

    def described_columns(self, labelled: bool = True) -> str:
        """The format in words."""
        return self.kind

    def blocks(self) -> Iterator[TextBlock]:
        """The texts in blocks of consecutive ones."""
        raise NotImplementedError

    def rows(self) -> Iterator[tuple[list[Row], list[str]]]:
        """(rows by the names in the header, texts), block by block."""
        raise NotImplementedError

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the contents."""
        raise NotImplementedError

    def names(self, count: int) -> list[str] | None:
        """The label of each of some texts; None where they are not asked for."""
        return None if self.labels == "ignored" else [self.name] * count


class ClassFile(ClassSource):
    """The lines of a file, which are the texts of a class."""

    kind = "a file per class"
    header = ("label", "text")

    def __init__(self, path: Path, labels: str, encoding: str) -> None:
        super().__init__(path, labels, encoding)
        self.name = self.name.removesuffix(".gz").removesuffix(".txt")

    def blocks(self) -> Iterator[TextBlock]:
        for block in Blocks(self.source, self.encoding):
            fields = regular_fields(block.data, PLAIN, 1)
            if fields is None:  # an empty file
                continue
            texts = texts_of(fields, [0])
            filled = np.flatnonzero(np.diff(texts.offsets))
            if len(filled):
                strings = spans_of(texts.data, texts.offsets[filled], texts.offsets[filled + 1])
                lines = (block.line + fields.lines[filled]).tolist()
                yield TextBlock(strings, self.names(len(filled)), lines, self.source)

    def rows(self) -> Iterator[tuple[list[Row], list[str]]]:
        for block in self.blocks():
            texts = to_list(block.strings)
            yield [{"label": self.name, "text": text} for text in texts], texts

    def digest(self) -> str:
        return sha256_of(self.source)


class ClassFolder(ClassSource):
    """The files of a folder, each of which is a text of a class."""

    kind = "a folder per class"
    header = ("label", "file", "text")

    def paths(self) -> list[Path]:
        """The files, sorted by their names. UserError where there are folders among them, or nothing."""
        entries = visible(Path(self.source))
        folders = [entry.name for entry in entries if entry.is_dir()]
        if folders:
            raise UserError(
                f"{self.source}: stands for a class and holds folders ({listed(folders)}); give the folder whose "
                "folders are the classes"
            )
        if not entries:
            raise UserError(f"{self.source}: the folder of a class is empty; put a text file into it or remove it")
        return entries

    def texts(self) -> Iterator[tuple[list[Path], list[str]]]:
        """(files, texts) of as many files as hold BLOCK_CHARACTERS."""
        paths: list[Path] = []
        texts: list[str] = []
        size = 0
        for path in self.paths():
            paths.append(path)
            texts.append(whole_text(path, self.encoding))
            size += len(texts[-1])
            if size > BLOCK_CHARACTERS:
                yield paths, texts
                paths, texts, size = [], [], 0
        if paths:
            yield paths, texts

    def blocks(self) -> Iterator[TextBlock]:
        before = 0
        for paths, texts in self.texts():
            yield TextBlock(strings_from(texts), self.names(len(texts)), None, self.source, before)
            before += len(paths)

    def rows(self) -> Iterator[tuple[list[Row], list[str]]]:
        for paths, texts in self.texts():
            rows = [{"label": self.name, "file": str(path), "text": text} for path, text in zip(paths, texts)]
            yield rows, texts

    def digest(self) -> str:
        sha = hashlib.sha256()
        for path in self.paths():
            sha.update(f"{path.name} {sha256_of(path)}\n".encode(errors="surrogateescape"))
        return sha.hexdigest()


def whole_text(path: AnyPath, encoding: str) -> str:
    """The text of a whole file, stripped; NUL becomes U+FFFD, as in all files. UserError for what is no text."""
    data = b"".join(unpacked_chunks(path, encoding))
    require_utf8_lines(path, data, 1)
    return data.decode("utf-8-sig").replace("\0", "\ufffd").strip()


def visible(folder: Path) -> list[Path]:
    """What a folder holds, but for hidden files, sorted by name."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def class_sources(path: AnyPath, labels: str, encoding: str) -> list[ClassSource]:
    """The classes of a folder, sorted by their names. UserError where it is not clear what these are."""
    entries = visible(Path(path))
    folders = [entry for entry in entries if entry.is_dir()]
    others = [entry.name for entry in entries if not entry.name.lower().removesuffix(".gz").endswith(".txt")]
    if not entries:
        raise UserError(f"{path}: the folder is empty; give a file, or a folder with a folder or a file for each class")
    if not folders and others:
        pattern = os.path.join(path, f"*{Path(others[0]).suffix or '.csv'}")
        raise UserError(
            f"{path}: is a folder of files that are not all .txt ({listed(others)}); name them with a pattern, such as "
            f"{pattern!r}, or give a folder with a folder or a .txt file for each class"
        )
    kind: type[ClassSource] = ClassFolder if folders else ClassFile
    found = [kind(entry, labels, encoding) for entry in folders or entries]
    for one in found:
        if not one.name or sanitize(one.name) != one.name:
            raise UserError(f"{one.source}: the name of a class, {shown(one.name)}, cannot be printed; rename it")
    return found
