"""Complex numbers drawn as arrows in the plane, as inline SVG: one arrow each, with a label, inside a circle."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from engine.report.figures import width_of
from engine.report.html import TEMPLATES, readable, render

WIDTH, HEIGHT = 360, 260  # of a picture with short labels; long ones make it wider
CENTRE_X, CENTRE_Y, RADIUS = 180, 130, 96  # of the largest number or circle that is drawn
LINE = 13  # height of a label
TOP, BOTTOM = LINE, HEIGHT - 2 * LINE  # where labels may stand
LABELS = 1 + (BOTTOM - TOP) // LINE  # find room in a column
GAP = RADIUS + 17  # from the centre to the labels
LETTER_SIZE = 11.5  # of labels, as in the style of the page
LABEL_CHARACTERS, DESCRIPTION_CHARACTERS = 40, 100
COLOURS = 8  # classes c0 … c7 in the style of the page


class Phasors(NamedTuple):
    """A picture. numbers: complex, one a label; those that are not finite are left out.

    radius: of a dashed circle, or None. circle: what the circle is, in a few characters.
    """

    title: str
    labels: Sequence[str]
    numbers: Sequence[complex]
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
    copies: int

    @property
    def head(self) -> tuple[float, ...]:
        """(x, y) of the tip and of the other two corners of the head; nothing where the arrow is too short for one."""
        dx, dy = self.x - CENTRE_X, self.y - CENTRE_Y
        length = math.hypot(dx, dy)
        if length <= 3:
            return ()
        size = min(7.0, length)
        ux, uy = size * dx / length, size * dy / length
        left = (self.x - ux + 0.4 * uy, self.y - uy - 0.4 * ux)
        right = (self.x - ux - 0.4 * uy, self.y - uy + 0.4 * ux)
        return (self.x, self.y, *left, *right)

    @property
    def caption(self) -> str:
        """The label beside the picture."""
        return caption_of(self.label, self.copies)

    @property
    def description(self) -> str:
        """The number itself, shown when the pointer rests on the arrow."""
        z, sign = self.number, "+" if self.number.imag >= 0 else "−"
        label = readable(self.label, DESCRIPTION_CHARACTERS)
        return f"{label}: {z.real:.4g} {sign} {abs(z.imag):.4g}i, magnitude {abs(z):.4g}"


def phasors_svg(picture: Phasors) -> str:
    """SVG text: an element to stand inside HTML. Raises UserError without jinja2."""
    ring = picture.radius if picture.radius is not None and math.isfinite(picture.radius) else None
    arrows = arrows_of(picture, ring or 0.0)
    width = picture_width(picture)
    # A label stands on the side to which its arrow points; where there is no room for all, those of the first tokens.
    sides = {side: [a for a in arrows if (a.x < CENTRE_X) == (side < 0)][:LABELS] for side in (-1, 1)}
    return render(
        TEMPLATES / "phasors.svg",
        width=width,
        left=CENTRE_X - width // 2,
        height=HEIGHT,
        x=CENTRE_X,
        y=CENTRE_Y,
        reach=RADIUS + 14,
        gap=GAP,
        title=picture.title,
        ring=None if ring is None else ring * scale_of(picture, ring),
        caption=f"{picture.circle} = {ring:.4g}" if ring is not None else "",
        arrows=arrows,
        labelled=[(arrow, side) for side, chosen in sides.items() for arrow in spread_out(chosen)],
    )


def picture_width(picture: Phasors) -> int:
    """Width of the canvas on which the labels of all tokens have room on either side."""
    copies = Counter(zip(picture.labels, map(complex, picture.numbers)))
    longest = max((width_of(caption_of(label, n), LETTER_SIZE) for (label, _), n in copies.items()), default=0.0)
    return max(WIDTH, 2 * math.ceil(GAP + 8 + longest))


def caption_of(label: str, copies: int) -> str:
    """The label beside the picture, with the number of equal arrows."""
    return readable(label, LABEL_CHARACTERS) + (f" ×{copies}" if copies > 1 else "")


def scale_of(picture: Phasors, ring: float) -> float:
    """Canvas units by which a number is multiplied; 0 where all are 0."""
    largest = max([abs(z) for z in map(complex, picture.numbers) if math.isfinite(abs(z))] + [ring])
    return RADIUS / largest if largest > 0 else 0.0


def arrows_of(picture: Phasors, ring: float) -> list[Arrow]:
    """An Arrow for each different pair of label and number, in order of appearance."""
    scale, tint = scale_of(picture, ring), dict(zip(picture.labels, colours(picture.labels)))
    counts = Counter(zip(picture.labels, map(complex, picture.numbers)))
    finite = [(label, z, n) for (label, z), n in counts.items() if math.isfinite(abs(z))]
    placed = [(label, z, CENTRE_X + z.real * scale, CENTRE_Y - z.imag * scale, n) for label, z, n in finite]
    return [Arrow(label, z, x, y, y, tint[label], n) for label, z, x, y, n in placed]


def colours(labels: Iterable[str]) -> list[str]:
    """A class of the style for each label; equal labels have equal ones."""
    labels = list(labels)
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return [f"c{number[label] % COLOURS}" for label in labels]


def spread_out(arrows: Iterable[Arrow]) -> list[Arrow]:
    """The same arrows, from the top, with label_y at least LINE apart and as near to their tips as that allows."""
    arrows = sorted(arrows, key=lambda a: a.y)
    heights: list[float] = []
    floor: float = TOP
    for arrow in arrows:
        heights.append(max(floor, arrow.y))
        floor = heights[-1] + LINE
    ceiling: float = BOTTOM
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], ceiling)
        ceiling = heights[i] - LINE
    return [arrow._replace(label_y=y) for arrow, y in zip(arrows, heights)]
