"""Draw the pictures of the equations: python -m layers.figures.draw [NAME…] writes them beside this file.

Every number in them is computed by the functions of layers.wave. The same version of matplotlib (extra `plots`) writes
the same files, byte by byte.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from engine.report.figures import require_matplotlib, svg_text
from engine.support.errors import UserError
from engine.support.files import write_text
from engine.support.output import echo
from layers.figures.plane import draw_interference_term, draw_phasors, draw_two_circles
from layers.figures.space import draw_cone, draw_point_and_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parent


class Picture(NamedTuple):
    """A picture, and what it shows for those who do not see it."""

    draw: Callable[[], Figure]
    title: str
    description: str


PICTURES = {
    "phasors": Picture(
        draw_phasors,
        "One text from real numbers to phasors, interference and modulation",
        "Top: five tokens on the real axis at their embeddings, and above each the tip of its phasor, all on one half "
        "circle whose radius is the global magnitude. Bottom left: the sums of two such waves, of different lengths. "
        "Bottom right: their products, all on one circle.",
    ),
    "point_and_axes": Picture(
        draw_point_and_axes,
        "A text of three tokens as a point in space",
        "A right triangle. From the origin along axis 1 to its foot it has the length of the real part of token 1; "
        "from there to the point, that of the imaginary part; from the origin to the point, the global magnitude. "
        "The angle at the origin is the phase of token 1.",
    ),
    "cone": Picture(
        draw_cone,
        "The imaginary part of token 1 over the plane of the two other tokens",
        "A cone of slope 1 that stands on its tip. The tip is where both other tokens are 0.",
    ),
    "interference_term": Picture(
        draw_interference_term,
        "The sum of two phasors and its squared modulus",
        "Left: two phasors and their sum, the diagonal of a parallelogram. Right: the squared modulus of the sum falls "
        "as a cosine, from the square of the sum of both magnitudes, where the phases are equal, to the square of "
        "their difference, where they are opposite.",
    ),
    "two_circles": Picture(
        draw_two_circles,
        "Two waves of one text and their products",
        "Left: the tokens of a text on two half circles whose radii are the magnitudes of its two waves. Right: the "
        "products of both numbers of each token, all on one circle whose radius is the product of the magnitudes.",
    ),
}


def svg_of(picture: Picture) -> str:
    """Draw a picture as the text of an SVG file, with its title and description for screen readers."""
    text = svg_text(picture.draw, letters="path")
    text = re.sub(r"^ +| +$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\d+\.\d{5,}", lambda number: f"{float(number[0]):.3f}", text)  # thousandths of a point are plenty
    words = f"<title>{escape(picture.title)}</title>\n<desc>{escape(picture.description)}</desc>"
    return re.sub(r"<svg ([^>]*>)", lambda tag: f'<svg role="img" {tag[1]}\n{words}', text, count=1)


@click.command(context_settings={"help_option_names": ["--help"]})
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(PICTURES)))
def main(names: tuple[str, ...]) -> None:
    """Draw pictures of the equations (extra plots), by default all of them, into layers/figures."""
    try:
        for name in names or PICTURES:
            path = FOLDER / f"{name}.svg"
            require_matplotlib(path)
            write_text(path, svg_of(PICTURES[name]))
            echo(f"drawn: {path}")
    except UserError as error:
        echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
