"""The page is well-formed, loads nothing, and shows any text as text."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from engine.report.html import mathml_converter
from engine.report.phasors import BOTTOM, LABELS, LINE, TOP, Phasors, arrows_of, phasors_svg, spread_out
from engine.support.errors import UserError
from engine.support.text import sanitize
from layers.experiments.trace.page import Card, Formula, Numbers, Page, page_html, write_page

TOKENS = [
    "[CLS]",
    "<b>",
    "a&b",
    "\"'",
    "\0",
    "🎉",
    "</svg><script>x</script>",
    "\u2028",
    "]]>",
    "\ufffe",
    "\ud800",
    "x" * 500,
    "&lt;",
    "\x1b[2J",
]
NUMBERS = [complex(k, 1.0) for k in range(len(TOKENS))]


def page_of(tokens=TOKENS, numbers=NUMBERS, verdict="ok"):
    lines = [
        ("value", "rows <1>  2×2", "1.5", ["1.0", "-2.0"], ""),
        ("gradient", "by hand", "1.5", ["0.1"], "1e-3"),
        ("numeric", "numerical", "", ["0.1"], "1e-3"),
        ("difference", "difference", "", ["0e+00"], "0e+00"),
    ]
    cards = [
        Card(
            f"E{i}",
            "map & more",
            f"stage <{i}>",
            f"a.b{i}",
            [Formula("forward", ["a < b", "c"])],
            [Numbers(lines, verdict, "note <&>")],
        )
        for i in (1, 2)
    ]
    pictures = [("Phasors <0>", [Phasors("wave & wave", tokens, numbers, 2.0, "G < 3")])]
    return Page(
        "Title <&>",
        "verdict <&>",
        verdict != "WRONG",
        [("label", "<i>&")],
        tokens,
        pictures,
        "note",
        cards,
        ["a note <&>"],
        3,
    )


def fake_mathml(latex):
    return f"<math><mi>{latex.replace('<', '&lt;')}</mi></math>"


class Loads(HTMLParser):
    """Collects tags, and addresses that a browser would follow on its own."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [
            value
            for name, value in attrs
            if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href")
        ]


def test_well_formed_and_self_contained():
    text = page_html(page_of(), fake_mathml)
    root = ElementTree.fromstring(text)
    assert root.tag == "html" and text.startswith("<!DOCTYPE html>")
    found = Loads()
    found.feed(text)
    assert all(address.startswith("#") for address in found.addresses)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "b", "i"} & set(found.tags)
    style = root.find("head/style").text
    assert "@import" not in style and "url(" not in style and "prefers-color-scheme: dark" in style
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids)) and {a.lstrip("#") for a in found.addresses} <= set(ids)


def test_every_token_is_shown_as_text():
    root = ElementTree.fromstring(page_html(page_of(), fake_mathml))
    (shown,) = root.iterfind(".//dd[@class='tokens']")
    assert [span.text for span in shown] == [sanitize(token, 40) for token in TOKENS]
    titles = [title.text for title in root.iterfind(".//svg//title")]
    assert all(any(text.startswith(sanitize(token, 100)) for text in titles) for token in TOKENS)
    everything = "".join(root.itertext())
    for word in ("Title <&>", "verdict <&>", "<i>&", "stage <1>", "map & more", "note <&>", "G < 3", "rows <1>"):
        assert word in everything
    assert "\0" not in everything and "\x1b" not in everything


@pytest.mark.parametrize("verdict, bad", [("ok", False), ("kink", False), ("WRONG", True)])
def test_a_mismatch_stands_out(verdict, bad):
    root = ElementTree.fromstring(page_html(page_of(verdict=verdict), fake_mathml))
    assert (root.find(".//p[@class='verdict bad']") is not None) == bad
    assert (
        root.find(f".//section[@class='stage {verdict}']") is not None
        and root.find(f".//nav/a[@class='{verdict}']") is not None
    )
    assert root.find(f".//td[@class='mark {verdict}']").text == verdict


def test_lines_of_a_table_have_equally_many_cells():
    root = ElementTree.fromstring(page_html(page_of(), fake_mathml))
    assert {sum(int(cell.get("colspan", 1)) for cell in row) for row in root.iter("tr")} == {4 + 3}


def test_labels_keep_apart_and_inside():
    arrows = arrows_of(
        Phasors("", [f"t{i}" for i in range(LABELS)], [complex(0.01 * i, 1) for i in range(LABELS)]), 0.0
    )
    heights = [a.label_y for a in spread_out(arrows)]
    assert all(b - a >= LINE - 1e-9 for a, b in zip(heights, heights[1:]))
    assert heights[0] >= TOP - 1e-9 and heights[-1] <= BOTTOM + 1e-9
    lonely = arrows_of(Phasors("", ["a"], [1 + 0j]), 0.0)
    assert spread_out(lonely)[0].label_y == lonely[0].y


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


def test_writing(tmp_path):
    write_page(tmp_path / "a.html", page_of(), fake_mathml)
    assert ElementTree.parse(tmp_path / "a.html").getroot().tag == "html"
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
    for path in ("", tmp_path / "absent" / "a.html", tmp_path):
        with pytest.raises(UserError):
            write_page(path, page_of(), fake_mathml)


def test_without_latex2mathml_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "latex2mathml.converter", None)
    with pytest.raises(UserError, match=r"latex2mathml.*pip install -e '\.\[plots\]'"):
        mathml_converter()
