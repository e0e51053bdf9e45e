"""The pictures of the page as numbers on a canvas: waves with their gradients, the interference term, a training.

Templates draw them; the canvas is that of engine/report/phasors.py.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.report.phasors import CENTRE_X, CENTRE_Y, RADIUS, Arrow, spread_out
from engine.types import Array, Floats1d, Floats2d

LABEL_CHARACTERS = 8
LONGEST = 40.0  # of a gradient's arrow on the canvas
REACH = round(RADIUS + LONGEST) + 6  # from the centre to the farthest end of an arrow, with its ring
CAPTION = 14  # height of the line below
WIDTH = 2 * (REACH + 6 * LABEL_CHARACTERS)
ARC = 20.0  # radius of the first arc of a phase, and what further ones have more
PLOT_WIDTH, PLOT_HEIGHT, PLOT_LEFT, PLOT_RIGHT = 280, 150, 46, 54
TICKS = 4
POINTS = 200  # of a curve that are drawn


class Pull(NamedTuple):
    """A gradient drawn at the tip of a phasor. shaft: from the tip to the end; ring: where the numerical one ends."""

    colour: str
    x: float
    y: float
    end_x: float
    end_y: float
    ring_x: float
    ring_y: float
    head: tuple[float, ...]


class Circle(NamedTuple):
    """A wave in one dimension. ring: radius of its circle on the canvas; arrows: Arrow and the side of its label.

    arc: path of the phase of the chosen token. pulls: the gradients.
    """

    title: str
    caption: str
    ring: float | None
    arrows: Sequence[Arrow]
    labelled: Sequence[tuple[Arrow, int]]
    arc: str
    pulls: Sequence[Pull]


def circle_of(
    title: str,
    caption: str,
    radius: float,
    labels: Sequence[str],
    z: Array,
    gradient: Array,
    numeric: Array,
    longest: float,
    chosen: int,
) -> Circle:
    """The Circle of a wave. z, gradient, numeric: (tokens,) complex; longest: |gradient| that is drawn LONGEST long."""
    finite = [complex(v) if np.isfinite(v) else 0j for v in z]
    largest = max([abs(v) for v in finite] + [radius if math.isfinite(radius) else 0.0])
    scale = RADIUS / largest if largest > 0 else 0.0
    arrows = [
        Arrow(label, v, CENTRE_X + v.real * scale, CENTRE_Y - v.imag * scale, CENTRE_Y - v.imag * scale, f"c{i % 8}", 1)
        for i, (label, v) in enumerate(zip(labels, finite))
    ]
    sides = {side: [a for a in arrows if (a.x < CENTRE_X) == (side < 0)] for side in (-1, 1)}
    pull = LONGEST / longest if longest > 0 and math.isfinite(longest) else 0.0
    return Circle(
        title,
        caption,
        radius * scale if math.isfinite(radius) else None,
        arrows,
        [(arrow, side) for side, some in sides.items() for arrow in spread_out(some)],
        arc_of(finite[chosen]) if finite else "",
        [pull_of(a, complex(g) * pull, complex(n) * pull) for a, g, n in zip(arrows, gradient, numeric)],
    )


def pull_of(arrow: Arrow, gradient: complex, numeric: complex) -> Pull:
    """The Pull at the tip of an arrow; gradients are in canvas units, and 0 where they are not finite."""
    gradient, numeric = (clipped(g) for g in (gradient, numeric))
    end = complex(arrow.x + gradient.real, arrow.y - gradient.imag)
    unit = (end - complex(arrow.x, arrow.y)) / abs(gradient) if abs(gradient) > 2 else 0j
    corners = [end - 6 * unit + 3.2j * unit, end - 6 * unit - 3.2j * unit] if unit else []
    head = tuple(part for corner in [end, *corners] for part in (corner.real, corner.imag)) if unit else ()
    return Pull(
        arrow.colour, arrow.x, arrow.y, end.real, end.imag, arrow.x + numeric.real, arrow.y - numeric.imag, head
    )


def clipped(z: complex) -> complex:
    """A number that has room on the canvas."""
    if not (math.isfinite(z.real) and math.isfinite(z.imag)):
        return 0j
    return z if abs(z) <= 2 * LONGEST else 2 * LONGEST * z / abs(z)


def arc_of(z: complex) -> str:
    """The path of an arc from the real axis to a number."""
    if z == 0:
        return ""
    angle = math.atan2(z.imag, z.real)
    x, y = CENTRE_X + ARC * math.cos(angle), CENTRE_Y - ARC * math.sin(angle)
    return f"M{CENTRE_X + ARC:.1f} {CENTRE_Y}A{ARC} {ARC} 0 0 {int(angle < 0)} {x:.1f} {y:.1f}"


class Bar(NamedTuple):
    """A signed bar. x, width: in per cent of its place, of which 50 is zero."""

    label: str
    colour: str
    text: str
    x: float
    width: float


def bars(labels: Sequence[str], values: Floats1d, largest: float) -> list[Bar]:
    """Bars of numbers between -largest and largest."""
    found = []
    for i, (label, value) in enumerate(zip(labels, values.tolist())):
        share = max(-1.0, min(1.0, value / largest)) if largest > 0 and math.isfinite(value) else 0.0
        found.append(Bar(label, f"c{i % 8}", f"{value:.4g}", 50 + min(0.0, 50 * share), abs(50 * share)))
    return found


CIRCLE = {  # the canvas of a Circle, for its template
    "left": CENTRE_X - WIDTH // 2,
    "top": CENTRE_Y - REACH,
    "width": WIDTH,
    "height": 2 * REACH + CAPTION,
    "x": CENTRE_X,
    "y": CENTRE_Y,
    "gap": REACH,
    "reach": RADIUS + 18,
    "characters": LABEL_CHARACTERS,
}
PLOT = {"width": PLOT_WIDTH, "height": PLOT_HEIGHT, "left": PLOT_LEFT, "right": PLOT_WIDTH - PLOT_RIGHT}


class Curve(NamedTuple):
    """A line. points: of an SVG polyline; y_end: height of its end."""

    label: str
    kind: str
    points: str
    y_end: float


class Plot(NamedTuple):
    """Curves over the steps. ticks: (y, text) on the left; steps: at the right end."""

    title: str
    curves: Sequence[Curve]
    ticks: Sequence[tuple[float, str]]
    steps: int


def plot_of(title: str, lines: Sequence[tuple[str, str, Floats1d]], top: float, steps: int) -> Plot:
    """A Plot of (label, class, values) from 0 to top, over the steps 0 … steps."""
    top = top if top > 0 and math.isfinite(top) else 1.0
    floor, ceiling, right = PLOT_HEIGHT - 22.0, 10.0, float(PLOT_WIDTH - PLOT_RIGHT)

    def place(step: int, value: float) -> tuple[float, float]:
        share = min(max(value / top, 0.0), 1.0)
        return PLOT_LEFT + (right - PLOT_LEFT) * step / max(steps, 1), floor - (floor - ceiling) * share

    curves = []
    for label, kind, values in lines:
        chosen = np.unique(np.linspace(0, len(values) - 1, POINTS).round().astype(int))
        points = [place(int(i), float(values[i])) for i in chosen]
        curves.append(Curve(label, kind, " ".join(f"{x:.1f},{y:.1f}" for x, y in points), points[-1][1]))
    ticks = [(place(0, top * i / TICKS)[1], f"{top * i / TICKS:.3g}") for i in range(TICKS + 1)]
    return Plot(title, apart(curves), ticks, steps)


def apart(curves: Sequence[Curve], least: float = 12.0) -> list[Curve]:
    """The curves with y_end at least so far apart that their labels do not touch."""
    placed: dict[int, float] = {}
    last = -math.inf
    for i in sorted(range(len(curves)), key=lambda i: curves[i].y_end):
        last = placed[i] = max(curves[i].y_end, last + least)
    return [curve._replace(y_end=placed[i]) for i, curve in enumerate(curves)]


def nice_top(values: Floats1d | Floats2d) -> float:
    """A round number just above the largest that is finite."""
    finite = values[np.isfinite(values)]
    largest = float(finite.max()) if finite.size else 1.0
    if largest <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(largest))
    return next(unit * m for m in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12) if unit * m >= largest)
