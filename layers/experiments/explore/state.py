"""The state of the page: everything that is seen follows from it, and it is the query string of the page's address.

So a link repeats what it shows, "back" undoes, and the server remembers nothing.
"""

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from engine.support.errors import UserError
from engine.support.settings import Settings, nearest, setting
from engine.support.text import sanitize
from layers.networks.configs import BLOCK_FORMS
from layers.standard.position_encoding import POSITION_ENCODINGS
from layers.wave import OPERATIONS, READOUTS, SCOPES

MOST_TOKENS, WIDEST, MOST_STEPS = 6, 8, 1000
LONGEST_TEXT = 200  # characters
LARGEST = 1000.0  # value of a token, in either direction
BREAKS = {
    "none": "nothing is broken",
    "sign": "the sign is wrong",
    "factor": "a factor 2 is forgotten",
    "path": "a path is missing",
}
LEARNERS = ("everything", "tokens")
Moved = tuple[int, int, float]  # token, dimension, value


@dataclass(frozen=True)
class State(Settings):
    """What the page shows.

    moved: values of tokens that differ from those drawn at random: (row of the embedding table, dimension, value).
    step: how many equations of backward have been stepped through; 0 is the loss. at: the stage whose backward is
    broken. grow: decades by which one token grows.
    """

    text: str = setting("profits rose in the third", "words")
    label: str = setting("", "class of the loss; empty: the usual one")
    operation: str = setting("modulation", "how two waves become one", choices=OPERATIONS)
    readout: str = setting("both", "how a wave is read as real numbers", choices=READOUTS)
    scope: str = setting("dimension", "what shares a magnitude", choices=SCOPES)
    positions: str = setting("none", "positions added to the embeddings", choices=POSITION_ENCODINGS)
    block: str = setting("normed", "form of the block", choices=BLOCK_FORMS)
    width: int = setting(4, "dimensions of the network", minimum=2, maximum=WIDEST)
    seed: int = setting(0, "random seed of the network", minimum=0, maximum=999_999)
    dimension: int = setting(0, "dimension that is shown", minimum=0, maximum=WIDEST - 1)
    token: int = setting(1, "token whose numbers are filled in", minimum=0, maximum=MOST_TOKENS - 1)
    steps: int = setting(0, "gradient steps taken", minimum=0, maximum=MOST_STEPS)
    learns: str = setting("everything", "what a gradient step moves", choices=LEARNERS)
    rate: float = setting(0.1, "learning rate", minimum=0.001, maximum=10.0)
    broken: str = setting("none", "what is wrong with a gradient", choices=BREAKS)
    at: str = setting("classifier", "stage whose backward is broken")
    step: int = setting(0, "equations of backward stepped through", minimum=0, maximum=99)
    grow: float = setting(6.0, "decades by which a token grows", minimum=0.0, maximum=24.0)
    moved: tuple = setting((), "values of tokens moved by hand")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.text) > LONGEST_TEXT:
            raise UserError(f"text: has {len(self.text):,} characters, more than {LONGEST_TEXT}; give a shorter one")

    def value(self, token: int, dimension: int) -> float | None:
        """The value to which a token was moved in a dimension; None where it was not."""
        return next((value for t, k, value in self.moved if (t, k) == (token, dimension)), None)

    @property
    def drawn(self) -> str:
        """What tells whether the same values are drawn: a form sends it with those it shows, lest they move others."""
        return str(zlib.crc32(f"{self.width} {self.seed} {self.text}".encode()))

    def moved_to(self, moved: Iterable[Moved]) -> "State":
        """The state with other moved values, in order."""
        return self.replace(moved=tuple(sorted(moved)))

    def query(self, **changes: Any) -> str:
        """The query string of this state, or of one with some fields changed; defaults are left out."""
        values = {**vars(self), **changes}
        pairs: list[tuple[str, Any]] = [
            (name, values[name])
            for name, field in self.fields().items()
            if name != "moved" and values[name] != field.default
        ]
        pairs += [(f"x.{token}.{dimension}", repr(value)) for token, dimension, value in values["moved"]]
        return urlencode(pairs)


def state_of(pairs: Sequence[tuple[str, str]]) -> State:
    """The state that the pairs of a query string describe. `of` says of which state the moved values are.

    Raises UserError, one line, for a name or a value that is not allowed, and for a name given twice.
    """
    fields: dict[str, Any] = {}
    moved: dict[tuple[int, int], float] = {}
    names = [field for field in State.fields() if field != "moved"]
    given: set[str] = set()
    of = ""
    for name, text in pairs:
        if name in given:
            raise UserError(f"{sanitize(name, 40)}: is given twice; leave one out")
        given.add(name)
        if name.startswith("x."):
            place, value = moved_value(name, text)
            moved[place] = value
        elif name == "of":
            of = text
        elif name in names:
            fields[name] = text
        else:
            hint = nearest(name[:40], names) or f"; there are {', '.join(names)}, and x.TOKEN.DIMENSION"
            raise UserError(f"{sanitize(name, 40)}: there is no such name{hint}")
    try:
        state = State(**fields)
        return state if of not in ("", state.drawn) else state.moved_to((*p, value) for p, value in moved.items())
    except UserError as error:
        raise UserError(sanitize(str(error), 300)) from None


def moved_value(name: str, text: str) -> tuple[tuple[int, int], float]:
    """((token, dimension), value) of a pair such as ("x.2.0", "0.5"). Raises UserError for another form."""
    _, *numbers = name.split(".")
    limits = (MOST_TOKENS, WIDEST)
    if len(numbers) != 2 or not all(n.isdecimal() and n.isascii() and len(n) == 1 for n in numbers):
        raise UserError(f"{sanitize(name, 40)}: expected x.TOKEN.DIMENSION, such as x.2.0")
    token, dimension = map(int, numbers)
    if token >= limits[0] or dimension >= limits[1]:
        raise UserError(f"{name}: there are at most {MOST_TOKENS} tokens and {WIDEST} dimensions, counted from 0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -LARGEST <= value <= LARGEST:
        raise UserError(f"{name}: expected a number from {-LARGEST:g} to {LARGEST:g}, got {sanitize(text, 40)!r}")
    return (token, dimension), value
