"""All gradients of a walk checked at once: a batch of copies of the text, in each of which one array is moved.

Slopes are five-point differences of the logits, whose derivative of the loss is taken by a complex step, as in a trace.
There an array is moved by itself and all that follows is computed anew, many times; here one forward pass does it for
all arrays, which is fast enough to follow a slider.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.gradcheck.arrays import leaves
from engine.implementation import Forward, Functions, Pair
from engine.types import Array, Floats, Floats1d
from layers.equations import EQUATIONS, with_compositions
from layers.experiments.trace.walk import READABLE, Comparison, Quantity, Walk, with_leaf
from layers.networks.parts import twin
from layers.wave import Wave

POINTS = (-2.0, -1.0, 1.0, 2.0)
STEPS = (1e-3, 6e-5, 4e-6)  # of the size of the array: the smaller ones where the loss bends too sharply
ENTRIES = 1 << 20  # of an array of all copies of a text
ACCURATE = 1e-8  # an estimated error of this share needs no smaller step
RELATIVE, OF_LARGEST, OF_ROUNDING = 1e-6, 1e-10, 100.0  # what the tolerance is made of
BENT = 1e-2  # a fourth difference of this share of the slope says that there is none
GROSS = 40.0  # times it: an error which it does not explain


class Move(NamedTuple):
    """An array moved along a direction. number: of the call that computes with it, or whose value it is.

    values: the value of that call, for one text, at each of POINTS. step: h.
    """

    number: int
    values: Sequence[Any]
    step: float


class Entry(NamedTuple):
    """One entry of a Quantity, by its name. place: its indices."""

    name: str
    place: tuple[int, ...]


class Checks(NamedTuple):
    """of_arrays: along one random direction each. of_entries: numerical derivatives."""

    of_arrays: dict[str, Comparison]
    of_entries: dict[Entry, float]


def check_walk(walk: Walk, quantities: Sequence[Quantity], entries: Sequence[Entry], seed: int = 0) -> Checks:
    """Check the gradient of every Quantity, and differentiate by single entries."""
    rng, by_name = np.random.default_rng(seed), {q.name: q for q in quantities}
    checked = [q for q in quantities if q.gradient is not None and q.name != "loss"]  # dL/dL is 1
    lines = [(q, unit(rng.standard_normal(np.shape(q.value)))) for q in checked]
    lines += [(by_name[entry.name], one_hot(by_name[entry.name].value, entry.place)) for entry in entries]
    with np.errstate(all="ignore"):  # what matters is seen in the numbers
        found = slopes_along(walk, lines)
        sizes = [float(np.linalg.norm(gradient_of(q))) for q in checked]
        arrays = {q.name: compared(q, u, slope, max(sizes)) for (q, u), slope in zip(lines[: len(checked)], found)}
    return Checks(arrays, {entry: slope.numeric for entry, slope in zip(entries, found[len(checked) :])})


def slopes_along(walk: Walk, lines: Sequence[tuple[Quantity, Floats]]) -> list["Slope"]:
    """The Slope of the loss as each Quantity moves along a direction, by the largest step that is accurate."""
    found = slopes(walk, [move_of(walk, q, u, STEPS[0]) for q, u in lines])
    for step in STEPS[1:]:
        rough = [
            i
            for i, slope in enumerate(found)
            if 0.1 * slope.bend > ACCURATE * abs(slope.numeric) + OF_ROUNDING * slope.noise
        ]
        if rough:
            for i, finer in zip(rough, slopes(walk, [move_of(walk, *lines[i], step) for i in rough])):
                found[i] = min(found[i], finer, key=lambda slope: slope.error)
    return found


def gradient_of(q: Quantity) -> Floats1d:
    """The gradient of a Quantity as a vector."""
    assert q.gradient is not None  # of all that are checked
    return np.ravel(q.gradient)


def unit(x: Floats) -> Floats:
    """x with norm 1."""
    unit: Floats = x / np.linalg.norm(np.ravel(x))
    return unit


def one_hot(like: Array, index: tuple[int, ...]) -> Floats:
    """Zeros of an array's shape, 1 at the index."""
    u = np.zeros(np.shape(like))
    u[index] = 1.0
    return u


def move_of(walk: Walk, q: Quantity, u: Floats, share: float) -> Move:
    """The Move of a Quantity along u, an array of its shape: each entry that moves does so by a share of its size."""
    root_mean_square = float(np.linalg.norm(np.ravel(q.value))) / np.sqrt(u.size)
    step = share * (root_mean_square or 1.0) * float(np.sqrt(np.count_nonzero(u)))
    moved = [q.value + point * step * u for point in POINTS]
    call, value = walk.recorder.calls[q.stage.number], walk.values[q.stage.name]
    if q.kind == "parameter":
        forward = EQUATIONS.pairs[call.pair][0]
        arguments = [[with_parameter(walk, q, x, a) for a in call.arguments] for x in moved]
        values = [forward(*given)[0] for given in arguments]
    else:
        names = [name for name, _ in leaves(value, q.stage.name)]
        values = [with_leaf(value, names.index(q.name), x) for x in moved]
    return Move(q.stage.number, values, step)


def with_parameter(walk: Walk, q: Quantity, moved: Floats, argument: Any) -> Any:
    """An argument of a call, with the parameter moved where it is the argument; of a table the rows in use."""
    parameter = q.stage.parameters[q.name]
    if argument is not parameter.value:
        return argument
    if moved.shape == argument.shape:
        return moved
    table = argument.copy()
    table[parameter.grad.rows] = moved  # type: ignore[union-attr]
    return table


class Slope(NamedTuple):
    """numeric: L's slope. bend: the fourth difference over h. noise: what rounding may change."""

    numeric: float
    bend: float
    noise: float

    @property
    def error(self) -> float:
        """An estimate of how wrong `numeric` is."""
        return 0.1 * self.bend + OF_ROUNDING * self.noise


def slopes(walk: Walk, moves: Sequence[Move]) -> list[Slope]:
    """The Slope of each Move, in one forward pass, or in several where the text and the network are large."""
    weights = walk.logit_slopes()[0]
    widest = max(np.size(value) for value in walk.values.values() if not isinstance(value, Wave))
    at_once = max(1, ENTRIES // (len(POINTS) * widest))
    parts = [moves[start : start + at_once] for start in range(0, len(moves), at_once)]
    f = np.concatenate([Copies(walk, part).logits() for part in parts]) @ weights
    minus2, minus1, plus1, plus2 = f.reshape(-1, 4).T
    centre = float(walk.values["classifier"][0] @ weights)
    h = np.array([move.step for move in moves])
    numeric = (minus2 - 8 * minus1 + 8 * plus1 - plus2) / (12 * h)
    bend = abs(minus2 - 4 * minus1 + 6 * centre - 4 * plus1 + plus2) / h
    noise = np.finfo(float).eps * float(abs(walk.values["classifier"][0]) @ abs(weights)) / h
    return [Slope(*row) for row in zip(numeric.tolist(), bend.tolist(), noise.tolist())]


def compared(q: Quantity, u: Floats, slope: Slope, largest: float) -> Comparison:
    """The verdict on a gradient. largest: norm of any gradient of the walk."""
    numeric, analytic = slope.numeric, float(gradient_of(q) @ np.ravel(u))
    error, size = abs(numeric - analytic), abs(numeric) + abs(analytic)
    if error <= RELATIVE * size + OF_LARGEST * largest + slope.error:
        return Comparison(numeric, analytic, error, "ok", "", [])
    if slope.bend > BENT * size and error <= GROSS * slope.bend:
        return Comparison(numeric, analytic, error, "kink", "the loss bends too sharply here for differences", [])
    return Comparison(numeric, analytic, error, "WRONG", "", [])


class Copies:
    """A batch of copies of a walk's text, four for each Move; a call's value is replaced in the copies that move it."""

    def __init__(self, walk: Walk, moves: Sequence[Move]):
        self.count, self.number = 4 * len(moves), 0
        self.moved: dict[int, list[tuple[int, Sequence[Any]]]] = {}
        for i, move in enumerate(moves):
            self.moved.setdefault(move.number, []).append((4 * i, move.values))
        functions = {name: self.wrapped(*pair) for name, pair in EQUATIONS.pairs.items()}
        self.network = twin(walk.network, with_compositions(Functions(functions)), READABLE["wave"])
        self.batch = copies(walk.batch, self.count)

    def wrapped(self, forward: Forward, backward: Any) -> Pair:
        """A forward that moves what is to be moved in its result."""

        def moving_forward(*arguments: Any) -> tuple[Any, Any]:
            value, cache = forward(*arguments)
            number, self.number = self.number, self.number + 1
            return self.with_moves(value, self.moved.get(number, ())), cache

        return moving_forward, backward

    def with_moves(self, value: Any, moves: Sequence[tuple[int, Sequence[Any]]]) -> Any:
        """The value of a call for all copies, replaced in those that move it."""
        if not moves:
            return value
        if isinstance(value, Wave):
            parts = [[getattr(wave, part) for wave in values] for _, values in moves for part in ("re", "im")]
            starts = [start for start, _ in moves]
            return Wave(
                self.replaced(value.re, starts, parts[::2]),
                self.replaced(value.im, starts, parts[1::2]),
            )
        return self.replaced(value, [start for start, _ in moves], [values for _, values in moves])

    def replaced(self, array: Floats, starts: Sequence[int], values: Sequence[Sequence[Floats]]) -> Floats:
        """array: the rows of all copies; values: those of four copies from each start."""
        rows = array.reshape(self.count, -1, array.shape[-1]).copy()
        for start, four in zip(starts, values):
            rows[start : start + 4] = np.stack(four)
        replaced: Floats = rows.reshape(array.shape)
        return replaced

    def logits(self) -> Floats1d:
        """(copies, C)."""
        self.number = 0
        logits: Floats1d = self.network.forward(self.batch)[0]
        return logits


def copies(batch: RaggedBatch, count: int) -> RaggedBatch:
    """count copies of a batch of one text."""
    assert batch.labels is not None
    places, length = np.arange(count), len(batch.ids)
    sentences = batch.sentence_offsets
    if sentences is not None:
        sentences = np.append((places[:, None] * length + sentences[:-1]).ravel(), count * length)
    return RaggedBatch(
        np.tile(batch.ids, count), np.arange(count + 1) * length, np.tile(batch.labels, count), sentences
    )
