"""Labelled texts, the corpora that they form, and the classes that their labels name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.types import Ints1d

SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels and their places in a file.

    texts: B strings. labels: B strings, or None. source: the file's name. lines: line of each text, from 1, or None.
    """

    texts: list[str]
    labels: list[str] | None = None
    source: str = "the texts"
    lines: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def place(self, row: int) -> str:
        """The place of a text for error messages: "FILE, line 7" where the line is known, else "FILE, text 7"."""
        return f"{self.source}, text {row + 1}" if self.lines is None else f"{self.source}, line {self.lines[row]}"


@dataclass(frozen=True)
class Corpus:
    """Training texts with labels and, where they exist, validation and test texts."""

    name: str
    train: LabelledTexts
    validation: LabelledTexts | None = None
    test: LabelledTexts | None = None


def class_names(train: LabelledTexts) -> list[str]:
    """The sorted unique labels of the training texts: their order numbers the classes. Integers sort by their value."""
    names = set(train.labels or ())
    if all(re.fullmatch("-?[0-9]+", name) for name in names):
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


def require_two_classes(train: LabelledTexts) -> None:
    """Raise UserError unless the training labels name at least two classes."""
    names = class_names(train)
    if len(names) < 2:
        found = f"only the class {shown(names[0])}" if names else "no label"
        raise UserError(
            f"{train.source}: the training labels hold {found}; give at least two classes, "
            "or name another label column (--label-column)"
        )


def encode_labels(labels: Sequence[str] | None, classes: Sequence[str], where: LabelledTexts) -> Ints1d:
    """Labels → class numbers, (B,) int64: the positions in `classes`.

    where: the LabelledTexts that the labels are from.

    Raises UserError with file and line for a label that is not among the classes.
    """
    if labels is None:
        raise ValueError("labels: expected a label for each text, got None")
    number = {name: index for index, name in enumerate(classes)}
    for row, label in enumerate(labels):
        if label not in number:
            raise UserError(
                f"{where.place(row)}: label {shown(label)} is not among the training classes {listed(classes)}; "
                "correct it or remove the row"
            )
    return np.fromiter((number[label] for label in labels), np.int64, len(labels))


def listed(values: Sequence[object]) -> str:
    """Show up to ten values in a message, and how many more there are."""
    return ", ".join(map(shown, values[:10])) + (f" and {len(values) - 10} more" if len(values) > 10 else "")


def shown(value: object) -> str:
    """Show a value in a message: quoted, on one line, at most SHOWN_CHARACTERS long."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
