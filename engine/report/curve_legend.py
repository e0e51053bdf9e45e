"""The marks of curves, and the legend that explains them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.report.figures import GREY, Look, columns_of, looks
from engine.report.series import Groups, numbers, window_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAND = 0.2  # opacity of the band between the lowest and the highest of the seeds
POINT_SIZE = 2.0  # diameter of the point of a single step
MARKS = 3  # that an entry of a legend shows beside each other


def line_mark(look: Look) -> dict[str, Any]:
    """Properties of the line of a group, as it is drawn and as the legend shows it."""
    color, marker, dash = look
    return {"color": color, "marker": marker, "linestyle": dash, "markersize": 4, "linewidth": 1.6}


def cross_mark(color: str) -> dict[str, Any]:
    """Properties of a step without a finite number."""
    return {"color": color, "marker": "x", "linestyle": "", "markersize": 4}


def validation_mark(color: str, marker: str) -> dict[str, Any]:
    """Properties of what was measured on validation texts."""
    return {
        "color": color,
        "marker": marker,
        "linestyle": "",
        "markersize": 7,
        "markerfacecolor": "none",
        "markeredgewidth": 1.5,
        "zorder": 5,
    }


class Entry(NamedTuple):
    """A line of a legend. marks: properties of lines, side by side; of many only the first are shown."""

    label: str
    marks: Sequence[dict[str, Any]]


def legend(figure: Figure, groups: Groups, keys: Collection[str] = (), extra: Iterable[Entry] = ()) -> None:
    """Draw a legend below the panels: the groups, then points, lines and rims, in the colours of the groups.

    keys: of the series drawn step by step. extra: further entries. A single group has no entry of its own, where an
    entry explains its line.
    """
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D

    own = [Entry(name, [line_mark(look)]) for look, name in zip(looks(len(groups)), groups)]
    entries = [*own[: len(own) if len(own) > 1 or not keys else 0], *extra, *entries_of(groups, keys)]
    handles: list[Any] = [tuple(Line2D([], [], **mark) for mark in entry.marks[:MARKS]) for entry in entries]
    drawn = figure.legend(
        [handle if len(handle) > 1 else handle[0] for handle in handles],
        ["x"] * len(entries),
        loc="outside lower center",
        ncols=columns_of([entry.label for entry in entries]),
        frameon=False,
        columnspacing=1.5,
        handlelength=3,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0.6)},
    )
    for text, entry in zip(drawn.get_texts(), entries):
        # Set afterwards: matplotlib gives a meaning to a name that begins with _ or holds $.
        text.set(text=entry.label, parse_math=False)


def entries_of(groups: Groups, keys: Collection[str]) -> list[Entry]:
    """Entries of a legend that explain what is drawn of the series `keys`."""
    entries: list[Entry] = []
    look = dict(zip(groups, looks(len(groups))))
    if keys:
        window = window_in(groups)
        lines = f"running median of {window} steps" if window > 1 else "from step to step"
        point = {"marker": "o", "linestyle": "", "markersize": POINT_SIZE, "markeredgewidth": 0, "alpha": 0.8}
        entries.append(Entry("single step", [point | {"color": color} for color, _, _ in look.values()]))
        entries.append(Entry(lines, [line_mark(one) for one in look.values()]))
    several = [look[name][0] for name, runs in groups.items() if len(runs) > 1]
    if several:
        band = {"linestyle": "-", "linewidth": 6, "alpha": BAND, "solid_capstyle": "butt"}
        entries.append(Entry("lowest to highest of the seeds", [band | {"color": color} for color in several]))
    series = {name: {key: [numbers(run[key]) for run in runs] for key in keys} for name, runs in groups.items()}
    lost = [name for name, own in series.items() if any(not np.isfinite(y).all() for ys in own.values() for y in ys)]
    if lost:
        entries.append(Entry("no finite number", [cross_mark(look[name][0]) for name in lost]))
    positive = [ys for own in series.values() for key, ys in own.items() if key != "accuracy"]
    if any((y <= 0).any() for ys in positive for y in ys):
        entries.append(Entry("zeros lie on the lower rim", [{"color": GREY, "linestyle": ""}]))
    return entries
