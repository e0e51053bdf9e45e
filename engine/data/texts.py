"""Labelled texts, the corpora that they form, and the classes that their labels name."""

import bisect
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from engine.data.strings import Strings, strings_from, to_list
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.support.text import shown
from engine.types import Bools, Ints1d

BLOCK_TEXTS = 4096
NUMBER = re.compile("-?[0-9]{1,4300}")  # as many digits as Python reads
LABEL_END = "\n"  # between the labels of a text that has several; no label holds it


class TextBlock(NamedTuple):
    """Consecutive texts of a file or of a list. labels: B strings, or None; lines, source: as in LabelledTexts.

    Where a text may have several labels, its string holds all of them (label_sets.py). before: how many texts of a list
    come before these. unit: what lines count.
    """

    strings: Strings
    labels: Sequence[str] | None
    lines: Sequence[int] | None
    source: str
    before: int = 0
    unit: str = "line"

    def place(self, row: int) -> str:
        """The place of a text for error messages."""
        line = None if self.lines is None else self.lines[row]
        return place_of(self.source, self.before + row, line, self.unit)


class TextSource(Protocol):
    """What gives texts in blocks, as often as it is asked. source: the name of the file or files."""

    @property
    def source(self) -> str: ...

    def blocks(self) -> Iterator[TextBlock]: ...

    def digest(self) -> str:
        """Hexadecimal SHA-256 of what blocks() gives, or of what decides it."""


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels and their places in a file.

    texts: B strings. labels: B strings, or None. source: the file's name. lines: line of each text, from 1, or None.
    files: (first text, name) of each file, where there are several. unit: what lines count.
    """

    texts: list[str]
    labels: list[str] | None = None
    source: str = "the texts"
    lines: Sequence[int] | None = None
    files: Sequence[tuple[int, str]] = ()
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.texts)

    def blocks(self) -> Iterator[TextBlock]:
        """The texts in blocks of BLOCK_TEXTS."""
        for first in range(0, len(self), BLOCK_TEXTS):
            some = slice(first, first + BLOCK_TEXTS)
            yield TextBlock(
                strings_from(self.texts[some]),
                None if self.labels is None else self.labels[some],
                None if self.lines is None else self.lines[some],
                self.source,
                first,
                self.unit,
            )

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the texts and labels."""
        sha = hashlib.sha256()
        for block in self.blocks():
            for part in (block.strings.offsets.data, block.strings.data.data, repr(block.labels).encode()):
                sha.update(part)
        return sha.hexdigest()

    def place(self, row: int) -> str:
        """The place of a text for error messages: "FILE, line 7" where the line is known, else "FILE, text 7"."""
        source = self.source
        line = None if self.lines is None else self.lines[row]
        if self.files:
            first, source = self.files[bisect.bisect_right([first for first, _ in self.files], row) - 1]
            row -= first
        return place_of(source, row, line, self.unit)


def place_of(source: str, row: int, line: int | None, unit: str = "line") -> str:
    """The place of a text for error messages: "FILE, line 7" where the line is known, else "FILE, text 7"."""
    return f"{source}, text {row + 1}" if line is None else f"{source}, {unit} {line}"


def joined(blocks: Iterable[TextBlock], source: str) -> LabelledTexts:
    """The texts of all blocks as LabelledTexts; without labels where a block has none. source: the name of all."""
    texts: list[str] = []
    labels: list[str] | None = []
    lines: list[int] | None = []
    files: list[tuple[int, str]] = []
    unit = "line"
    for block in blocks:
        unit = block.unit
        if not files or files[-1][1] != block.source:
            files.append((len(texts), block.source))
        texts += to_list(block.strings)
        if block.labels is None:
            labels = None
        elif labels is not None:
            labels += block.labels
        if block.lines is None:
            lines = None
        elif lines is not None:
            lines += block.lines
    return LabelledTexts(texts, labels, source, lines, files if len(files) > 1 else (), unit)


@dataclass(frozen=True)
class Corpus:
    """Training texts with labels and, where they exist, validation and test texts."""

    name: str
    train: LabelledTexts
    validation: LabelledTexts | None = None
    test: LabelledTexts | None = None


class OpenCorpus(NamedTuple):
    """A Corpus whose texts are read when they are needed."""

    name: str
    train: TextSource
    validation: TextSource | None
    test: TextSource | None


def class_names(train: LabelledTexts) -> list[str]:
    """The sorted unique labels of the training texts: their order numbers the classes."""
    return sorted_names(train.labels or ())


def names_in(label: str) -> list[str]:
    """The labels that a string of labels holds."""
    return label.split(LABEL_END) if label else []


def sorted_names(labels: Iterable[str]) -> list[str]:
    """Unique labels, sorted; integers by their value. A string may hold several labels, or none."""
    names = {name for label in set(labels) for name in names_in(label)}
    if all(NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


@dataclass(frozen=True, kw_only=True)
class NamedCorpus:
    """A corpus that is fetched at first use. authors: who made and who collected it. terms: what it may be used for.

    Subclasses also have `classes` (their number), `source` (where it comes from), `revision` (which state of it) and
    `download_bytes`.
    """

    train_rows: int
    test_rows: int
    description: str
    authors: str
    terms: str

    def load(self, name: str, cache_dir: AnyPath | None = None) -> Corpus:
        """The Corpus with training and test texts, fetched unless it is kept. UserError where that fails."""
        raise NotImplementedError

    def is_cached(self, cache_dir: AnyPath | None = None) -> bool:
        """Whether load() needs no network."""
        raise NotImplementedError


def mismatch(data: LabelledTexts, rows: int, classes: int) -> str | None:
    """The unexpected size of LabelledTexts, in words that follow "FILE: "; None where it is as expected."""
    if len(data) != rows:
        return f"it holds {len(data)} rows instead of {rows}"
    if len(class_names(data)) != classes:
        return f"it holds {len(class_names(data))} classes instead of {classes}"
    return None


def require_classes(names: Sequence[str], source: str, several: bool = False) -> None:
    """Raise UserError unless there are two classes at least, or one where a text may have several labels.

    source: the file of the training texts.
    """
    if several and not names:
        raise UserError(f"{source}: no training text has a label; name the column that holds them (--label-column)")
    if len(names) < 2 and not several:
        found = f"only the class {shown(names[0])}" if names else "no label"
        raise UserError(
            f"{source}: the training labels hold {found}; give at least two classes, "
            "or name another label column (--label-column)"
        )


def encode_labels(labels: Sequence[str] | None, classes: Sequence[str], where: LabelledTexts | TextBlock) -> Ints1d:
    """Labels → class numbers, (B,) int64: the positions in `classes`.

    where: what the labels are from.

    Raises UserError with file and line for a label that is not among the classes.
    """
    if labels is None:
        raise ValueError("labels: expected a label for each text, got None")
    number = {name: index for index, name in enumerate(classes)}
    for row, label in enumerate(labels):
        if label not in number:
            raise unknown_label(label, classes, where.place(row))
    return np.fromiter((number[label] for label in labels), np.int64, len(labels))


def encode_label_sets(labels: Sequence[str] | None, classes: Sequence[str], where: LabelledTexts | TextBlock) -> Bools:
    """Strings of labels → (B, C) booleans: whether a text has the label of a class. Otherwise as encode_labels()."""
    if labels is None:
        raise ValueError("labels: expected a string of labels for each text, got None")
    known = set(classes)
    for row, label in enumerate(labels):
        for name in names_in(label):
            if name not in known:
                raise unknown_label(name, classes, where.place(row))
    return label_matrix(labels, classes)


def unknown_label(label: str, classes: Sequence[str], place: str) -> UserError:
    """The error for a label that no training text has."""
    return UserError(
        f"{place}: label {shown(label)} is not among the training classes {listed(classes)}; "
        "correct it or remove the row"
    )


def label_matrix(labels: Sequence[str], classes: Sequence[str]) -> Bools:
    """(B, C) booleans: whether a string holds the label of a class. All labels must be among the classes."""
    number = {name: index for index, name in enumerate(classes)}
    matrix = np.zeros((len(labels), len(classes)), bool)
    for row, label in enumerate(labels):
        matrix[row, [number[name] for name in names_in(label)]] = True
    return matrix


def listed(values: Sequence[object]) -> str:
    """Show up to ten values in a message, and how many more there are."""
    return ", ".join(map(shown, values[:10])) + (f" and {len(values) - 10} more" if len(values) > 10 else "")
