"""Backward one equation at a time, from the loss to the embedding: what each receives, computes and hands on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.layer import RowSparse
from engine.types import Array
from layers.equations import EQUATIONS
from layers.experiments.explore.filled import Filled, filled_in, number
from layers.experiments.trace.stages import FORMULAS, SEPARATOR, Stage
from layers.experiments.trace.walk import Comparison, Walk
from layers.wave import Wave

HEAT = 4  # classes of a cell by its size
ROWS, COLUMNS = 8, 16  # of a table


class Cell(NamedTuple):
    """A number of a table. kind: its class, p0 … p4 or n0 … n4 by sign and size."""

    text: str
    kind: str


class Table(NamedTuple):
    """An array. name: what it is the gradient of; heads: of its rows; rows: those shown; more: what is left out.

    check: of the whole gradient, where there is one.
    """

    name: str
    shape: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    more: str
    check: Comparison | None


class Step(NamedTuple):
    """The backward of a stage. forward, backward: LaTeX; received, returned: tables; broken: what is wrong with it."""

    number: str
    equation: str
    title: str
    forward: Sequence[str]
    backward: Sequence[str]
    filled: Sequence[Filled]
    received: Sequence[Table]
    returned: Sequence[Table]
    broken: bool


class Mark(NamedTuple):
    """A stage in the list of steps. verdict: of the gradient that it receives; broken: whether its backward is."""

    title: str
    number: str
    verdict: str
    broken: bool


def marks(walk: Walk, checks: Mapping[str, Comparison], broken: str) -> list[Mark]:
    """A Mark of every stage, from the loss on."""
    found = []
    for stage in reversed(walk.stages):
        names = names_of(stage.name, walk.values[stage.name])
        verdicts = [checks[name].verdict for name in names if name in checks]
        worst = max(verdicts, key=("ok", "rounding", "kink", "WRONG").index, default="ok")
        found.append(Mark(stage.title, FORMULAS[stage.equation].number, worst, stage.name == broken))
    return found


def names_of(name: str, value: Any) -> list[str]:
    """The names of the arrays of a value: a wave has two."""
    return [f"{name}.re", f"{name}.im"] if isinstance(value, Wave) else [name]


class Shown(NamedTuple):
    """What is shown of arrays. tokens: names of the first rows of arrays with a row for each token, `rows` of them;
    dimensions: columns of arrays that are `width` wide.
    """

    tokens: Sequence[str]
    rows: int
    dimensions: Sequence[int]
    width: int


def step_of(
    walk: Walk,
    stage: Stage,
    checks: Mapping[str, Comparison],
    fault: Callable[[Any], Any] | None,
    shown: Shown,
    token: int,
    k: int,
) -> Step:
    """The Step of a stage. fault: what breaks its backward; token, k: whose numbers are filled in."""
    call, dy = walk.recorder.calls[stage.number], walk.gradients[stage.name]
    used = fault(dy) if fault else dy
    results = EQUATIONS.pairs[call.pair][1](used, call.cache)
    equation = FORMULAS[stage.equation]
    received = tables(stage.title, stage.name, dy, checks, shown)
    titles = {s.name: s.title for s in walk.stages}
    returned = []
    given = [name for name in stage.inputs if name != "ids"] + list(stage.parameters)
    for name, gradient in zip(given, results_of(results)):
        title = titles.get(name) or f"{stage.title}: {name.rpartition('.')[2]}"
        uses = sum(name in s.inputs for s in walk.stages)
        about = {} if uses > 1 else checks
        note = f", one of its {uses} uses" if uses > 1 else ""
        rows = shown._replace(rows=-1) if name in stage.parameters else shown  # a parameter has no row for a token
        returned += tables(title + note, name, gradient, about, rows)
    return Step(
        equation.number, equation.name, stage.title,
        equation.forward.split(SEPARATOR), equation.backward.split(SEPARATOR),
        filled_in(call, used, results, token, k), received, returned, fault is not None,
    )  # fmt: skip


def results_of(results: Any) -> list[Any]:
    """The gradients that a backward returns, in order: one, or several."""
    if isinstance(results, (Wave, RowSparse)) or not isinstance(results, tuple):
        return [results]
    return list(results)


def tables(title: str, name: str, gradient: Any, checks: Mapping[str, Comparison], shown: Shown) -> list[Table]:
    """The Table of a gradient, two of a wave."""
    if isinstance(gradient, RowSparse):
        gradient = gradient.values
    if isinstance(gradient, Wave):
        return [
            table(f"{title}, {part}", array, checks.get(f"{name}.{part}"), shown)
            for part, array in zip(("re", "im"), gradient)
        ]
    return [table(title, np.asarray(gradient), checks.get(name), shown)]


def table(title: str, array: Array, check: Comparison | None, shown: Shown) -> Table:
    """The Table of an array."""
    whole = np.atleast_2d(array)
    columns = list(shown.dimensions) if whole.shape[1] == shown.width else list(range(min(whole.shape[1], COLUMNS)))
    heads = list(shown.tokens) if array.ndim == 2 and len(whole) == shown.rows else [""] * min(len(whole), ROWS)
    rows = len(heads)
    part = whole[:rows][:, columns]
    largest = float(np.nanmax(abs(part), initial=0.0))
    left_out = [f"{len(whole) - rows} rows"] * (len(whole) > rows)
    left_out += [f"{whole.shape[1] - len(columns)} columns"] * (whole.shape[1] > len(columns))
    return Table(
        title, "×".join(map(str, np.shape(array))) or "a number", heads,
        [[cell(float(v), largest) for v in row] for row in part],
        " and ".join(left_out), check,
    )  # fmt: skip


def cell(value: float, largest: float) -> Cell:
    """The Cell of a number."""
    share = abs(value) / largest if largest > 0 and np.isfinite(value) else 0.0
    return Cell(number(value), f"{'n' if value < 0 else 'p'}{round(HEAT * share)}")
