"""Right and wrong entries of a gradient, and the one that is furthest off with the token that it belongs to."""

from typing import Any, NamedTuple

import numpy as np

from engine.gradcheck import TOLERANCES
from engine.types import Array, Bools

TOLERANCE = TOLERANCES["complex_step"]  # of an entry, beside the largest right one


class Entry(NamedTuple):
    """at, place: where it is. wrong, entries: how many entries are wrong, of how many; where: what they share."""

    at: list[int]
    place: str
    got: complex
    expected: complex
    wrong: int
    entries: int
    where: str


def is_right(got: Array, right: Array) -> bool:
    """Tell whether a gradient has the right shape and no wrong entry."""
    return got.shape == right.shape and not wrong_entries(got, right).any()


def wrong_entries(got: Array, right: Array) -> Bools:
    """Tell of each entry of a gradient whether it is wrong."""
    wrong: Bools = abs(got - right) > TOLERANCE * abs(right).max(initial=0)
    return wrong


def worst_entry(got: Array, right: Array, offsets: Any) -> Entry:
    """Return the entry of a wrong gradient that is furthest off. offsets: (B + 1,) of the texts, or None."""
    wrong = wrong_entries(got, right)
    index = [int(i) for i in np.unravel_index(abs(got - right).argmax(), right.shape)]
    numbers = got[tuple(index)].item(), right[tuple(index)].item()
    where = shared_by(wrong, offsets) if is_of_tokens(right, offsets) and len(offsets) > 2 else ""
    return Entry(index, token_position(index, right, offsets), *numbers, int(wrong.sum()), right.size, where)


def is_of_tokens(right: Array, offsets: Any) -> bool:
    """Tell whether a gradient has a row for each token of the texts."""
    return offsets is not None and right.ndim == 2 and len(right) == offsets[-1]


def token_position(index: list[int], right: Array, offsets: Any) -> str:
    """Return "token 0 of text 2, which has 1 token"; "" for a gradient that has no row for each token."""
    if not is_of_tokens(right, offsets):
        return ""
    text = int(np.searchsorted(offsets, index[0], side="right")) - 1
    n = int(offsets[text + 1] - offsets[text])
    return f"token {index[0] - int(offsets[text])} of text {text}, which has {n} token{'s' * (n != 1)}"


def shared_by(wrong: Bools, offsets: Array) -> str:
    """Say what tokens have wrong entries and all others none, as far as it has a name."""
    n = np.diff(offsets)
    rows, lengths = np.arange(len(wrong)), np.repeat(n, n)
    named = {
        "texts of one token": lengths == 1,
        "texts of several tokens": lengths > 1,
        "the first token of each text": np.isin(rows, offsets[:-1]),
        "the last token of each text": np.isin(rows, offsets[1:] - 1),
    }
    return next((name for name, of_name in named.items() if np.array_equal(wrong.any(axis=1), of_name)), "")
