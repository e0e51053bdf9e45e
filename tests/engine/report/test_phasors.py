"""Arrows of complex numbers: any number can be drawn, and labels keep apart."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install -e '.[plots]'")

from engine.report.figures import width_of
from engine.report.phasors import (
    BOTTOM,
    LABELS,
    LETTER_SIZE,
    LINE,
    TOP,
    WIDTH,
    Phasors,
    arrows_of,
    phasors_svg,
    picture_width,
    spread_out,
)


def test_labels_keep_apart_and_inside():
    labels, numbers = [f"t{i}" for i in range(LABELS)], [complex(0.01 * i, 1) for i in range(LABELS)]
    heights = [a.label_y for a in spread_out(arrows_of(Phasors("", labels, numbers), 0.0))]
    assert all(b - a >= LINE - 1e-9 for a, b in zip(heights, heights[1:]))
    assert heights[0] >= TOP - 1e-9 and heights[-1] <= BOTTOM + 1e-9
    lonely = arrows_of(Phasors("", ["a"], [1 + 0j]), 0.0)
    assert spread_out(lonely)[0].label_y == lonely[0].y


@pytest.mark.parametrize(
    "labels, wider",
    [
        (["was", "it"], False),
        (["am_still_waiting_on", "it"], True),
        (["政治政治政治政治", "it"], True),
        (["w" * 12] * 2, True),
    ],
)
def test_labels_of_ngrams_are_whole_and_inside(labels, wider):
    """They stand on both sides; the picture is as wide as the longest asks."""
    picture = Phasors("", labels, [1 + 0j, -1 + 0j])
    root = ElementTree.fromstring(phasors_svg(picture))
    left, _, width, _ = map(float, root.get("viewBox").split())
    shown = [text for text in root.iter("text") if text.get("text-anchor") and not text.get("class")]
    assert [text.text for text in shown] == list(reversed(labels)) and width == picture_width(picture)
    for text in shown:
        x, size = float(text.get("x")), width_of(text.text, LETTER_SIZE)
        start = x - size if text.get("text-anchor") == "end" else x
        assert left <= start and start + size <= left + width
    assert (width > WIDTH) == wider


def test_equal_arrows_are_drawn_once():
    svg = phasors_svg(Phasors("", ["was", "was", "was", "it"], [1j, 1j, 2j, 1j]))
    assert svg.count("<title>") == 3 and "was ×2" in svg


@pytest.mark.parametrize("numbers", [[], [0j], [complex("nan"), 1j], [complex("inf"), 0j], [1e-300j], [1e300 + 1e300j]])
@pytest.mark.parametrize("radius", [None, 0.0, 2.0, float("nan")])
def test_any_numbers_can_be_drawn(numbers, radius):
    svg = phasors_svg(Phasors("x", ["t"] * len(numbers), numbers, radius, "G"))
    ElementTree.fromstring(svg)
    assert not re.search(r'"[^"]*(nan|inf)[^"]*"', svg)


def test_many_arrows_leave_most_labels_out():
    svg = phasors_svg(Phasors("x", [f"t{i}" for i in range(500)], [complex(i, 1) for i in range(500)]))
    assert svg.count("<title>") == 500 and svg.count('class="leader"') == LABELS
