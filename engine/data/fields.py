"""The cells of regular rows of CSV, TSV or plain lines, found in a block of bytes by NumPy, without an object for each.

A block is regular where every row has as many cells as the table has columns, every quote opens, closes or is doubled
within a cell that it encloses, and every CR stands before a line end or in quotes. It is then read as the csv module
reads it. All others are left to tables.py, which also knows what is wrong with them.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.ragged import offsets_from
from engine.data.strings import SPACE, Bytes, DistinctStrings, Strings, spans_of, to_list
from engine.data.tables import Format
from engine.types import Bools, Ints1d, Ints2d

LINE_END, RETURN = 10, 13
IS_WHITE = np.isin(np.arange(256), [*range(9, 14), *range(28, 33)])  # what str.strip() removes, of ASCII


class Fields(NamedTuple):
    """The cells of R rows of k columns. starts, ends: (R, k) bytes within `data`, without the quotes around a cell.

    doubled: ascending places of quotes that double the one before. lines: (R,) line of each row, from 0.
    used: bytes of the rows; what follows is the beginning of a row.
    """

    data: Bytes
    starts: Ints2d
    ends: Ints2d
    doubled: Ints1d
    lines: Ints1d
    used: int


def regular_fields(block: bytes, form: Format, width: int, header_line: int = -1) -> Fields | None:
    """The Fields of a block of whole lines; None where it is not regular.

    width: the number of columns. header_line: of the header, if it is in this block; it is no row.
    """
    if form.delimiter is None and form.name != "plain lines" or form.delimiter is not None and width == 1:
        return None
    if not block or not (form.quote + (form.delimiter or "")).isascii():
        return None
    if not block.endswith(b"\n"):
        block += b"\n"
    data = np.frombuffer(block, np.uint8)
    line_ends = row_ends = np.flatnonzero(data == LINE_END)
    nowhere = line_ends[:0]
    marks = nowhere if form.delimiter is None else np.flatnonzero(data == ord(form.delimiter))
    quotes = np.flatnonzero(data == ord(form.quote)) if form.quoted else nowhere
    if len(quotes):
        row_ends, marks = (places[np.searchsorted(quotes, places) % 2 == 0] for places in (row_ends, marks))
    if not len(row_ends):
        return None
    used = int(row_ends[-1]) + 1
    quotes, marks = (places[: np.searchsorted(places, used)] for places in (quotes, marks))
    row_starts = np.concatenate([[0], row_ends[:-1] + 1])
    in_return = (row_ends > row_starts) & (data[row_ends - 1] == RETURN)
    if form.quoted and b"\r" in block:
        returns = np.flatnonzero(data[:used] == RETURN)
        if np.count_nonzero(np.searchsorted(quotes, returns) % 2 == 0) != np.count_nonzero(in_return):
            return None
    row_stops = row_ends - in_return
    if form.delimiter is not None:
        blank_cells_are_none = form.delimiter == "\t" and not form.quoted
        filled = np.flatnonzero(~IS_WHITE[data]) if blank_cells_are_none else marks
        kept = np.searchsorted(filled, row_starts) < np.searchsorted(filled, row_stops)
        if not kept.all():  # lines of blanks are no rows
            if any(block[a:b].strip() for a, b in zip(row_starts[~kept].tolist(), row_stops[~kept].tolist())):
                return None
            marks = marks[kept[np.searchsorted(row_stops, marks)]]
            row_starts, row_stops = row_starts[kept], row_stops[kept]
        ends_of_marks = np.searchsorted(marks, row_stops)
        if (ends_of_marks != (width - 1) * np.arange(1, len(row_starts) + 1)).any():
            return None
    marks = marks.reshape(len(row_starts), width - 1)
    starts = np.concatenate([row_starts[:, None], marks + 1], axis=1)
    ends = np.concatenate([marks, row_stops[:, None]], axis=1)
    doubled: Ints1d = nowhere
    if len(quotes):
        found = without_quotes(data, ord(form.quote), quotes, starts, ends)
        if found is None:
            return None
        starts, ends, doubled = found
    lines = np.searchsorted(line_ends, row_starts)
    first = int(np.searchsorted(lines, header_line, side="right"))
    return Fields(data, starts[first:], ends[first:], doubled, lines[first:], used)


def without_quotes(
    data: Bytes, quote: int, quotes: Ints1d, starts: Ints2d, ends: Ints2d
) -> tuple[Ints2d, Ints2d, Ints1d] | None:
    """(starts, ends, places of doubled quotes) of cells within their quotes; None unless all are regular.

    quotes: places of the character `quote`.
    """
    enclosed = (data[starts] == quote) & (ends - starts > 1)
    inside = np.searchsorted(quotes, ends) - np.searchsorted(quotes, starts)
    if (enclosed != (inside > 0)).any() or (data[ends[enclosed] - 1] != quote).any() or inside.sum() != len(quotes):
        return None
    around = np.zeros(len(data) + 1, bool)
    around[starts[enclosed]] = True
    around[ends[enclosed] - 1] = True
    pairs = quotes[~around[quotes]]
    if len(pairs) % 2 or (pairs[1::2] != pairs[0::2] + 1).any():
        return None
    return starts + enclosed, ends - enclosed, pairs[1::2]


def texts_of(fields: Fields, columns: list[int]) -> Strings:
    """The text of each row: its cells in some ascending columns, joined by spaces, stripped as str.strip() does."""
    data = fields.data
    starts, ends = fields.starts[:, columns], fields.ends[:, columns].copy()
    if len(columns) > 1:
        data = data.copy()
        data[ends[:, :-1]] = SPACE  # there stands a delimiter or a closing quote
        ends[:, :-1] += 1
    kept = inside(starts.reshape(-1), ends.reshape(-1), len(data))
    counts = (ends - starts).sum(axis=1)
    if len(fields.doubled):
        kept[fields.doubled] = False
        first, last = (np.searchsorted(fields.doubled, bounds) for bounds in (starts, ends))
        counts -= (last - first).sum(axis=1)
    return stripped(Strings(data[kept], offsets_from(counts)))


def inside(starts: Ints1d, ends: Ints1d, size: int) -> Bools:
    """(size,): whether a place lies in one of some ascending spans."""
    runs = np.empty(2 * len(starts) + 1, np.int64)  # the lengths of what lies outside, inside, outside, …
    runs[1::2] = ends - starts
    runs[0::2] = np.append(starts, size) - np.append(0, ends)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def cells_of(fields: Fields, column: int) -> list[str]:
    """The cells of a column of which many are equal, stripped: each distinct one is one object."""
    cells, distinct = texts_of(fields, [column]), DistinctStrings()
    numbers = distinct.number(cells.data, cells.offsets[:-1], cells.offsets[1:])
    names = to_list(distinct.strings())
    return [names[number] for number in numbers.tolist()]


def stripped(strings: Strings) -> Strings:
    """Strings without white space at their ends, as str.strip() does."""
    data, (starts, ends) = strings.data, (strings.offsets[:-1].copy(), strings.offsets[1:].copy())
    for side, step in ((starts, 1), (ends, -1)):
        filled = np.flatnonzero(starts < ends)
        while len(filled):
            filled = filled[IS_WHITE[data[side[filled] - (step < 0)]]]
            side[filled] += step
            filled = filled[starts[filled] < ends[filled]]
    filled = np.flatnonzero(starts < ends)
    for row in filled[(data[starts[filled]] >= 0x80) | (data[ends[filled] - 1] >= 0x80)].tolist():
        text = data[starts[row] : ends[row]].tobytes().decode()
        if text != text.strip():  # white space beyond ASCII
            ends[row] -= len(text.encode()) - len(text.rstrip().encode())
            starts[row] = ends[row] - len(text.strip().encode())
    if (starts == strings.offsets[:-1]).all() and (ends == strings.offsets[1:]).all():
        return strings
    return spans_of(data, starts, ends)
