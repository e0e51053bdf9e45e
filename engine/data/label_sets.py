"""Labels of texts that may have several, or none: the cells of a file become strings that hold all labels of a text.

Such a string is the sorted labels with LABEL_END between them, "" for none: equal sets are equal strings. The cells are

    one column      labels with a separator between them ("sports, politics"), or a JSON list (["sports", "politics"])
    several         0 or 1 in each: the name of the column is the label
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.data.tables import cell_text
from engine.data.texts import LABEL_END, shown
from engine.support.files import parse_json
from engine.support.text import sanitize
from engine.types import Bools, Ints1d

YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false")


class WrongCell(ValueError):
    """A cell that holds no labels: says in words what it holds, and the remedy."""


class LabelCells(NamedTuple):
    """How cells hold labels. separator: between labels of a cell; names: of the columns of 0 and 1, or None."""

    separator: str
    names: Sequence[str] | None = None

    def read(self, rows: Sequence[tuple[str, ...]], wrong: Callable[[int, str], Exception]) -> list[str]:
        """The string of labels of each row of cells. wrong: (row, what is wrong and the remedy) → the error."""
        known: dict[tuple[str, ...], str] = {}
        for row, cells in enumerate(rows):
            if cells not in known:
                try:
                    known[cells] = joined_names(self.names_in(cells))
                except WrongCell as error:
                    raise wrong(row, str(error)) from None
        return [known[cells] for cells in rows]

    def names_in(self, cells: tuple[str, ...]) -> list[str]:
        """The labels in the cells of a row. Raises WrongCell."""
        if self.names is not None:
            return [name for name, cell in zip(self.names, cells) if is_yes(name, cell)]
        (cell,) = cells
        return listed_names(cell) if cell.startswith("[") else [name.strip() for name in cell.split(self.separator)]

    def write(self, names: Sequence[str]) -> str:
        """The cell that holds some labels, "" for none: a JSON list where the separator would not part them again."""
        cell = self.separator.join(names)
        parted = [name.strip() for name in cell.split(self.separator)] if names else []
        return cell if parted == list(names) and cell[:1] != "[" else json.dumps(names, ensure_ascii=False)


def is_yes(name: str, cell: str) -> bool:
    """Whether a cell of a column of 0 and 1 says yes. Raises WrongCell."""
    if cell.lower() not in YES + NO:
        raise WrongCell(f"the column {shown(name)} holds {shown(cell)}; give 0 or 1")
    return cell.lower() in YES


def listed_names(cell: str) -> list[str]:
    """The labels in a JSON list. Raises WrongCell."""
    try:
        found: Any = parse_json(cell)
    except ValueError:
        found = None
    names = [cell_text(name) for name in found] if isinstance(found, list) else [None]
    if None in names:
        raise WrongCell(f'the labels {shown(cell)} are no JSON list of strings; write them as ["sports", "politics"]')
    return [str(name).strip() for name in names]


def joined_names(names: Sequence[str]) -> str:
    """The string that holds some labels, each once; empty ones are none. Raises WrongCell."""
    for name in names:
        # Format characters may be part of a word, as in Persian, and stay.
        if sanitize(name) != name:
            raise WrongCell(f"the label {shown(name)} holds a character that cannot be printed; remove it")
    return LABEL_END.join(sorted(set(filter(None, names))))


def strata(sets: Bools, numbers: Ints1d) -> Ints1d:
    """(B,) the class by which a text is drawn for validation: the rarest of its labels; C for a text without any.

    sets: (S, C), the different sets of labels; numbers: (B,), which of them each text has. So each class keeps a text
    for training as long as it is the rarest of one.
    """
    counts = np.bincount(numbers, minlength=len(sets)) @ sets
    rarest = np.where(sets, counts, len(numbers) + 1).argmin(axis=1)
    classes: Ints1d = np.where(sets.any(axis=1), rarest, sets.shape[1])[numbers]
    return classes
