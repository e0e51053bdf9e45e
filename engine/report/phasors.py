"""Complex numbers drawn as arrows in the plane, as inline SVG: one arrow each, with a label, inside a circle."""

import math
from typing import NamedTuple

from engine.support.text import escape, sanitize

WIDTH, HEIGHT = 360, 260
CENTRE_X, CENTRE_Y, RADIUS = 180, 130, 96  # of the largest number or circle that is drawn
LINE = 13  # height of a label
TOP, BOTTOM = LINE, HEIGHT - 2 * LINE  # where labels may stand
LABELS = 1 + (BOTTOM - TOP) // LINE  # find room in a column
LABEL_CHARACTERS = 11
COLOURS = 8  # classes c0 … c7 in the style of the page


class Phasors(NamedTuple):
    """A picture. numbers: complex, one a label; those that are not finite are left out. radius: of a dashed circle, or None.

    circle: what the circle is, in a few characters.
    """

    title: str
    labels: list
    numbers: list
    radius: float | None = None
    circle: str = ""


class Arrow(NamedTuple):
    """An arrow on the canvas: tip, height of its label, colour, and how many equal ones it stands for."""

    label: str
    number: complex
    x: float
    y: float
    label_y: float
    colour: str
    count: int


def phasors_svg(picture):
    """SVG text: an element to stand inside HTML."""
    ring = picture.radius if picture.radius is not None and math.isfinite(picture.radius) else None
    arrows = arrows_of(picture, ring or 0.0)
    parts = [axes()]
    if ring is not None:
        scale = scale_of(picture, ring)
        parts.append(circle(ring * scale, f"{picture.circle} = {ring:.4g}"))
    parts += map(arrow_svg, arrows)
    # A label stands on the side to which its arrow points; where there is no room for all, those of the first tokens.
    for side in (-1, 1):
        mine = [a for a in arrows if (a.x < CENTRE_X) == (side < 0)][:LABELS]
        parts += [label_svg(a, side) for a in spread_out(mine)]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(picture.title)}">'
        + "".join(parts)
        + "</svg>"
    )


def scale_of(picture, ring):
    """Canvas units by which a number is multiplied; 0 where all are 0."""
    largest = max([abs(z) for z in map(complex, picture.numbers) if math.isfinite(abs(z))] + [ring])
    return RADIUS / largest if largest > 0 else 0.0


def arrows_of(picture, ring):
    """An Arrow for each different pair of label and number, in order of appearance."""
    counts, scale, tint = {}, scale_of(picture, ring), dict(zip(picture.labels, colours(picture.labels)))
    for pair in zip(picture.labels, map(complex, picture.numbers)):
        counts[pair] = counts.get(pair, 0) + 1
    finite = [(label, z, n) for (label, z), n in counts.items() if math.isfinite(abs(z))]
    placed = [(label, z, CENTRE_X + z.real * scale, CENTRE_Y - z.imag * scale, n) for label, z, n in finite]
    return [Arrow(label, z, x, y, y, tint[label], n) for label, z, x, y, n in placed]


def colours(labels):
    """A class of the style for each label; equal labels have equal ones."""
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return [f"c{number[label] % COLOURS}" for label in labels]


def axes():
    ends = RADIUS + 14
    return (
        f'<path class="axis" d="M{CENTRE_X - ends} {CENTRE_Y}H{CENTRE_X + ends}M{CENTRE_X} {CENTRE_Y - ends}V{CENTRE_Y + ends}"/>'
        f'<text class="axis" x="{CENTRE_X + ends}" y="{CENTRE_Y + 12}" text-anchor="end">re</text>'
        f'<text class="axis" x="{CENTRE_X + 4}" y="{CENTRE_Y - ends + 4}">im</text>'
    )


def circle(radius, caption):
    """A dashed circle; its caption stands below the plane."""
    return (
        f'<circle class="ring" cx="{CENTRE_X}" cy="{CENTRE_Y}" r="{radius:.1f}"/>'
        f'<text class="ring" x="{CENTRE_X}" y="{HEIGHT - 5}" text-anchor="middle">{escape(caption)}</text>'
    )


def arrow_svg(a):
    """A line from the origin with a head (a dot where it is too short); the number itself when the pointer rests on it."""
    dx, dy = a.x - CENTRE_X, a.y - CENTRE_Y
    length = math.hypot(dx, dy)
    head = f'<circle class="head" cx="{a.x:.1f}" cy="{a.y:.1f}" r="2"/>'
    if length > 3:
        size = min(7.0, length)
        ux, uy = size * dx / length, size * dy / length
        left = f"{a.x - ux + 0.4 * uy:.1f} {a.y - uy - 0.4 * ux:.1f}"
        right = f"{a.x - ux - 0.4 * uy:.1f} {a.y - uy + 0.4 * ux:.1f}"
        head = f'<path class="head" d="M{a.x:.1f} {a.y:.1f}L{left}L{right}Z"/>'
    sign = "+" if a.number.imag >= 0 else "−"
    text = (
        f"{sanitize(a.label, 100)}: {a.number.real:.4g} {sign} {abs(a.number.imag):.4g}i, magnitude {abs(a.number):.4g}"
    )
    shaft = f'<path class="shaft" d="M{CENTRE_X} {CENTRE_Y}L{a.x:.1f} {a.y:.1f}"/>'
    return f'<g class="{a.colour}"><title>{escape(text)}</title>{shaft}{head}</g>'


def spread_out(arrows):
    """The same arrows, from the top, with label_y at least LINE apart and as near to their tips as that allows."""
    arrows = sorted(arrows, key=lambda a: a.y)
    places, floor = [], TOP
    for a in arrows:
        places.append(max(floor, a.y))
        floor = places[-1] + LINE
    ceiling = BOTTOM
    for i in reversed(range(len(places))):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - LINE
    return [a._replace(label_y=y) for a, y in zip(arrows, places)]


def label_svg(a, side):
    """A label in the left (−1) or right (1) column with a thin line to its arrow's tip."""
    near = CENTRE_X + side * (RADIUS + 17)
    text = sanitize(a.label, LABEL_CHARACTERS) + (f" ×{a.count}" if a.count > 1 else "")
    return (
        f'<g class="{a.colour}"><path class="leader" d="M{a.x:.1f} {a.y:.1f}L{near:.1f} {a.label_y:.1f}"/>'
        f'<text x="{near + side * 3:.1f}" y="{a.label_y + 4:.1f}" text-anchor="{"end" if side < 0 else "start"}">{escape(text)}</text></g>'
    )
