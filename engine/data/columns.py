"""The text and label columns of a table, chosen as asked for, else by their names, else by their content."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.data.tables import Format
from engine.data.texts import listed, shown
from engine.support.errors import UserError

LABEL_NAMES = (
    "label",
    "labels",
    "class",
    "category",
    "sentiment",
    "target",
    "topic",
    "intent",
    "class index",
    "class_index",
)
TEXT_NAMES = (
    "text", "texts", "sentence", "title", "headline", "description", "content", "review", "body", "document", "article",
    "comment", "message", "question", "tweet", "abstract", "summary", "utterance", "news",
)  # fmt: skip
POSITION = re.compile("[0-9]{1,9}")
HEADER_SAMPLE_ROWS = 100
SAMPLE_ROWS = 5000  # of which columns are judged by their values
FEW_ROWS = 20  # too few to judge a column by its values
HANDFUL = 20  # values, and a fifth of the rows: a column of fewer is no text
LEAK_ACCURACY = 0.99  # of a column that tells the label
LEAK_SHARE = 0.25  # of the rows, whose value in this column occurs in others too


class Columns(NamedTuple):
    """The columns of a table. header: their names or None; width: their number; text: indices; label: index or None.

    labels: the indices of columns of 0 and 1, each of which is a label; label is then None.
    """

    header: list[str] | None
    width: int
    text: list[int]
    label: int | None
    labels: tuple[int, ...] = ()

    def label_indices(self) -> list[int]:
        """The indices of all columns that hold labels."""
        return list(self.labels) if self.label is None else [self.label]

    def label_names(self) -> list[str] | None:
        """The labels that columns of 0 and 1 stand for; None where there are no such."""
        names = [str(i + 1) if self.header is None else self.header[i] for i in self.labels]
        return names or None

    def describe(self, *indices: int) -> str:
        """Name some columns in a message."""
        numbers = f"column{'s' if len(indices) > 1 else ''} {', '.join(str(i + 1) for i in indices)}"
        return numbers if self.header is None else f"{', '.join(shown(self.header[i]) for i in indices)} ({numbers})"


def choose_columns(
    path: str,
    form: Format,
    rows: list[Any],
    names: list[str] | None,
    text_columns: Sequence[str | int] | None,
    label_column: str | int | None,
    labels: str,
    label_columns: Sequence[str | int] | None = None,
) -> Columns:
    """Choose the columns of a table by its first rows.

    names: of the columns, where the format has them; in CSV and TSV they may stand in the first row.
    Raises UserError when a column asked for does not exist, the label is asked for as text, or none can be guessed.
    """
    asked = [*(text_columns or []), *([] if label_column is None else [label_column]), *(label_columns or [])]
    header = names if form.delimiter is None else find_header(rows, asked)
    # The usual width of a table without header, so that one odd row cannot redefine all others.
    width = len(header) if header is not None else Counter(map(len, rows)).most_common(1)[0][0]
    text = [find_column(path, column, header, width) for column in text_columns or []]
    label = None if label_column is None else find_column(path, label_column, header, width)
    has_header = form.delimiter is not None and header is not None
    below = rows[has_header : has_header + SAMPLE_ROWS]
    if label_columns:
        found = tuple(dict.fromkeys(find_column(path, column, header, width) for column in label_columns))
        both = [i for i in found if i in text]
        if both:
            name = Columns(header, width, text, None).describe(both[0])
            raise UserError(f"{path}: {name} is among the text columns and the label columns; take it out of one")
        return Columns(header, width, text or guess_text(path, header, below, width, *found), None, found)
    if label is not None and label in text:
        name = Columns(header, width, text, label).describe(label)
        raise UserError(
            f"{path}: {name} is among the text columns and holds the label; take it out of --text-columns, "
            "or name another --label-column"
        )
    if label is None:
        label = guess_label(rows, header, width, text, labels)
    if label is None and labels == "required":
        raise UserError(
            f"{path}: cannot tell which column holds the label ({seen(header, width)}); name it (--label-column)"
        )
    return Columns(header, width, text or guess_text(path, header, below, width, label), label)


def is_position(column: str | int) -> bool:
    """Whether a column is asked for by its number: an integer, or the digits of one."""
    return isinstance(column, int) or bool(POSITION.fullmatch(column))


def find_header(rows: list[Any], asked: list[str | int]) -> list[str] | None:
    """The column names, or None: a first row where a column is asked for by name or that looks like names."""
    first = [cell.strip() for cell in rows[0]]
    if any(not is_position(column) for column in asked):
        return first
    known = [i for i, cell in enumerate(first) if cell.lower() in LABEL_NAMES + TEXT_NAMES]
    # A class may be called "question", a story "News": no heading returns as a value further down or stands beside
    # numbers.
    if not any(map(is_integer, first)) and any(all(row[i : i + 1] != [rows[0][i]] for row in rows[1:]) for i in known):
        return first
    return first if stands_over_numbers(first, rows[1:HEADER_SAMPLE_ROWS]) else None


def stands_over_numbers(first: list[str], rows: list[list[Any]]) -> bool:
    """Whether some column is all integers but for its first cell."""
    rows = [row for row in rows if len(row) == len(first)]
    return len(rows) > 1 and any(
        not is_integer(cell) and all(is_integer(row[i]) for row in rows) for i, cell in enumerate(first)
    )


def is_integer(cell: str) -> bool:
    return cell.strip().removeprefix("-").isdecimal()


def find_column(path: str, column: str | int, header: list[str] | None, width: int) -> int:
    """The index of a column given by its name, which no other column may have, or by its position from 1."""
    if header is not None and isinstance(column, str) and column in header:
        if header.count(column) > 1:
            places = ", ".join(str(i) for i, name in enumerate(header, start=1) if name == column)
            raise UserError(
                f"{path}: {header.count(column)} columns are named {shown(column)} (columns {places}); "
                "give their positions instead, or rename one"
            )
        return header.index(column)
    if not is_position(column):
        raise UserError(
            f"{path}: no column is named {shown(column)} ({seen(header, width)}); "
            "use one of its names or a position from 1"
        )
    if not 1 <= int(column) <= width:
        raise UserError(f"{path}: there is no column {column} ({seen(header, width)}); positions count from 1")
    return int(column) - 1


def seen(header: list[str] | None, width: int) -> str:
    """Describe the columns of a file in a few words."""
    count = f"{width} column" + ("s" if width != 1 else "")
    return f"{count}, no header" if header is None else f"{count}: {listed(header)}"


def guess_label(rows: list[Any], header: list[str] | None, width: int, text: list[int], labels: str) -> int | None:
    """The index of the label column, or None.

    Without a header it is the first or last column, whichever repeats more.
    """
    if header is not None:
        names = [name.lower() for name in header]
        found = [names.index(name) for name in LABEL_NAMES if name in names and names.index(name) not in text]
        rest = [i for i in range(width) if i not in text and names[i] not in TEXT_NAMES]
        alone = labels == "required" and width == 2 and len(rest) == 1
        return found[0] if found else rest[0] if alone else None
    ends = [i for i in dict.fromkeys((0, width - 1)) if i not in text] if width > 1 else []
    return min(ends, key=lambda i: len({row[i] for row in rows if len(row) == width}), default=None)


def guess_text(path: str, header: list[str] | None, rows: list[Any], width: int, *labels: int | None) -> list[int]:
    """The indices of the text columns: those with a known name, else all but the label where no doubt is left.

    Columns of a handful of values are none, unless no other is left or no other has a known name.
    """
    rest = [i for i in range(width) if i not in labels]
    if len(rest) == 1:
        return rest
    named = [] if header is None else [i for i in rest if header[i].lower() in TEXT_NAMES]
    candidates = named or (rest if header is None else [])
    texts = [i for i in candidates if not is_handful(column_cells(rows, header, i))] or named
    if not texts:
        few = ", of few values each" if candidates else ""
        raise UserError(
            f"{path}: cannot tell which column holds the text ({seen(header, width)}{few}); name it (--text-columns)"
        )
    return texts


def column_cells(rows: list[Any], header: list[str] | None, index: int) -> list[Any]:
    """The cells of a column in some rows; None for an empty one, text for arrays and objects."""
    if header is not None and rows and isinstance(rows[0], dict):
        cells = [row.get(header[index]) for row in rows]
    else:
        cells = [row[index] if index < len(row) else None for row in rows]
    return [None if cell == "" else repr(cell) if isinstance(cell, (list, dict)) else cell for cell in cells]


def is_handful(cells: list[Any]) -> bool:
    """Whether the filled cells of a column hold too few values for texts: the same ones return again and again."""
    values = [cell for cell in cells if cell is not None]
    return len(values) >= FEW_ROWS and len(set(values)) <= min(HANDFUL, len(values) // 5)


def label_leaks(columns: Columns, rows: list[Any]) -> list[str]:
    """A warning for each text column whose value tells the label, by the first rows of a file.

    Only rows count whose value occurs in others too, and only where these are LEAK_SHARE of all at least. rows: lists
    or dicts, without a header.
    """
    if columns.label is None or len(columns.text) < 2:
        return []
    warnings = []
    for index in columns.text:
        cells = (column_cells(rows[:SAMPLE_ROWS], columns.header, i) for i in (index, columns.label))
        pairs = [pair for pair in zip(*cells) if None not in pair]
        of_value = Counter(value for value, _ in pairs)
        repeated = Counter(pair for pair in pairs if of_value[pair[0]] > 1)
        most: dict[Any, int] = {}
        for (value, _), count in repeated.items():
            most[value] = max(count, most.get(value, 0))
        count, labels = sum(repeated.values()), {label for _, label in repeated}
        if len(pairs) >= FEW_ROWS and len(labels) > 1 and count >= LEAK_SHARE * len(pairs):
            share = sum(most.values()) / count
            if share >= LEAK_ACCURACY:
                warnings.append(
                    f"{columns.describe(index)} is part of the text and tells the label of {100 * share:.0f} % of the "
                    f"rows whose value there repeats (of the first {len(pairs)}); if it is not known before the label "
                    "is, leave it out (--text-columns)"
                )
    return warnings
