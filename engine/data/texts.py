"""What a classifier learns from: texts with their labels, and where each of them stood."""

import re
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from engine.support.errors import UserError

SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class LabelledTexts:
    """texts: B strings.

    labels: B strings, or None. source: the file's name. lines: the line of each text, from 1, or None.
    """

    texts: list[str]
    labels: list[str] | None = None
    source: str = "the texts"
    lines: Sequence[int] | None = None

    def __len__(self):
        return len(self.texts)

    def place(self, row):
        """Where a text stands, for error messages: "FILE, line 7" where the line is known, else "FILE, text 7"."""
        return f"{self.source}, text {row + 1}" if self.lines is None else f"{self.source}, line {self.lines[row]}"


@dataclass(frozen=True)
class Corpus:
    """Training texts with labels and, where they exist, validation and test texts."""

    name: str
    train: LabelledTexts
    validation: LabelledTexts | None = None
    test: LabelledTexts | None = None


def class_names(train):
    """The sorted unique labels of the training texts: their order numbers the classes. Integers sort by their value."""
    names = set(train.labels)
    if all(re.fullmatch("-?[0-9]+", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def require_two_classes(train):
    """Raise UserError unless the training labels name at least two classes."""
    names = class_names(train)
    if len(names) < 2:
        found = f"only the class {shown(names[0])}" if names else "no label"
        raise UserError(
            f"{train.source}: the training labels hold {found}; give at least two classes, "
            "or name another label column (--label-column)"
        )


def encode_labels(labels, classes, where):
    """Labels → class numbers, (B,) int64: the positions in `classes`.

    where: the LabelledTexts that the labels are from.

    Raises UserError with file and line for a label that is not among the classes.
    """
    number = {name: index for index, name in enumerate(classes)}
    for row, label in enumerate(labels):
        if label not in number:
            raise UserError(
                f"{where.place(row)}: label {shown(label)} is not among the training classes {listed(classes)}; "
                "correct it or remove the row"
            )
    return np.fromiter((number[label] for label in labels), np.int64, len(labels))


def listed(values):
    """Up to ten values as they appear in a message, and how many more there are."""
    return ", ".join(map(shown, values[:10])) + (f" and {len(values) - 10} more" if len(values) > 10 else "")


def shown(value):
    """A value as it appears in a message: quoted, on one line, not longer than a glance."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
