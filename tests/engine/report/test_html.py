"""Templates escape all that they show; SVG files become elements that do not disturb each other."""

import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from engine.report.html import inline_svg, mathml_converter, readable, render, settings_groups
from engine.support.errors import UserError

SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9" xmlns="http://www.w3.org/2000/svg">
<metadata>x</metadata><defs><style type="text/css">*{fill: red}</style>
<path id="p" d="M 0 0"/><clipPath id="c"><path d="M 0 0"/></clipPath></defs>
<!-- a label --><g id="g" clip-path="url(#c)" style="clip-path: url(#c)"><use xlink:href="#p"/>
<image xlink:href="data:image/png;base64,
AA
AA"/><g id="g"/></g></svg>"""


@pytest.mark.parametrize(
    "text, longest, shown",
    [
        ("a\nb\t\r\n c ", None, "a b c"),
        (
            "a\0\x1b[2J\x7f",
            None,
            "a\N{REPLACEMENT CHARACTER}" + "\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}",
        ),
        ("政治 → 🎉", None, "政治 → 🎉"),
        ("a  bcd", 3, "a …"),
    ],
)
def test_a_text_is_one_line_of_glyphs_that_fonts_have(text, longest, shown):
    """Line ends are spaces; no picture of a control character is left."""
    assert readable(text, longest) == shown


@pytest.fixture
def template(tmp_path):
    """template(text) → the path of a template."""
    pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install -e '.[plots]'")

    def write(text):
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        return tmp_path / "page.html"

    return write


def test_values_are_sanitized_and_escaped(template):
    """In content, attributes and macros, except where a template calls a value safe."""
    path = template('<p title="{{ a }}">{{ a }} {{ n }} {{ b | safe }}</p>')
    text = render(path, a="<script>\"'&\0\ud800", n=3, b="<b/>")
    shown = "&lt;script&gt;&#34;&#39;&amp;" + 2 * "\N{REPLACEMENT CHARACTER}"
    assert text == f'<p title="{shown}">{shown} 3 <b/></p>'


def test_a_missing_value_is_an_error(template):
    """A misspelt name must not leave a gap in a page."""
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="'b' is undefined"):
        render(template("{{ b }}"), a=1)


def test_a_page_extends_the_common_base(template):
    text = render(template('{% extends "base.html" %}{% block content %}<p>x</p>{% endblock %}'), title="<t>")
    root = ElementTree.fromstring(text)
    assert [root.find(path).text for path in ("head/title", "body/main/h1", "body/main/p")] == ["<t>", "<t>", "x"]


def test_without_jinja2_one_clear_line(monkeypatch, template):
    path = template("")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match=r"^page.html: jinja2 .*pip install -e '\.\[plots\]'"):
        render(path)


def test_without_latex2mathml_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "latex2mathml.converter", None)
    with pytest.raises(UserError, match=r"latex2mathml.*pip install -e '\.\[plots\]'"):
        mathml_converter()


def test_ids_and_references_are_the_pictures_own():
    text = inline_svg(SVG, "a", "<a>")
    root = ElementTree.fromstring(text)
    assert re.findall(r' id="([^"]*)"', text) == ["a-p", "a-c", "a-g"]
    assert re.findall(r'href="(#[^"]*)"', text) == ["#a-p"] and re.findall(r"url\(([^)]*)\)", text) == ["#a-c", "#a-c"]
    assert "style type" not in text and "metadata" not in text and root.get("aria-label") == "<a>"
    assert "data:image/png;base64,AAAA" in text and "xlink" not in text and text.startswith("<svg ")


@pytest.mark.parametrize(
    "text, message",
    [("<svg", "no XML"), ("<svg/>", "svg element"), ("<p xmlns='http://www.w3.org/2000/svg'/>", "svg element")],
)
def test_what_is_no_svg_is_refused(text, message):
    with pytest.raises(ValueError, match=f"^text: .*{message}"):
        inline_svg(text, "a", "b")


def test_nested_settings_become_flat_tables():
    """Titles of inner ones are dotted; values that are no texts are JSON."""
    settings = {"data": "r8", "deep": {"list": [1, 2], "inner": {"on": True, "none": None}, "empty": {}}}
    assert list(settings_groups(settings)) == [
        ("", [("data", "r8")]),
        ("deep", [("list", "[1, 2]")]),
        ("deep.inner", [("on", "true"), ("none", "null")]),
    ]
