"""Pages from templates, and their parts: SVG files as elements, settings as tables, LaTeX as MathML.

A page is one file that loads nothing and runs no script, as its Content-Security-Policy makes sure, and is well-formed
XML as well as HTML. Its template extends templates/base.html; templates/style.css is the style of all pages: one column
that fits any width, light or dark as the reader's system asks. Every value that a template shows is sanitized and
escaped, unless the template calls it `safe`: SVG and MathML made here.

jinja2 and latex2mathml (extra `plots`) are imported only when a page is asked for.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.report.figures import require_module
from engine.support.command import install_extra
from engine.support.errors import UserError
from engine.support.text import MISSING, sanitize

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
PICTURES = dict.fromkeys((*range(0x2400, 0x2420), 0x2421), MISSING)  # of control characters, as sanitize() shows them
NO_BREAK = "\N{NO-BREAK SPACE}"
SPACE, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


class Picture(NamedTuple):
    """A picture on a page. svg: an element."""

    heading: str
    svg: str
    caption: str


def require_jinja2(path: Path | str) -> None:
    """Raise UserError, which names the file that needs it, unless jinja2 can be imported."""
    require_module("jinja2", f"{path}: jinja2 fills the templates of pages")


def render(template: Path, **values: object) -> str:
    """Fill a template, which may extend and import those of TEMPLATES. Raises UserError without jinja2."""
    require_jinja2(template.name)
    return environment(template.parent).get_template(template.name).render(values)


@cache
def environment(folder: Path) -> Environment:
    """Templates of a folder and of TEMPLATES. A name that a template uses and nobody gave is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([folder, TEMPLATES], encoding="utf-8"),
        autoescape=True,
        finalize=sanitized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def readable(text: str, longest: int | None = None) -> str:
    """The text in one line, sanitized, with U+FFFD for control characters, for which fonts have no glyphs.

    Cut with "…" after `longest`.
    """
    return sanitize(" ".join(text.split()), longest).translate(PICTURES)


def sanitized(value: object) -> object:
    """A value as a template shows it: text without characters that XML refuses, except where it is markup already."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return sanitize(value).translate(PICTURES)


def inline_svg(text: str, prefix: str, label: str) -> str:
    """text: of an SVG file → of an element that is well-formed as HTML and as XML.

    prefix: comes before every id and every reference to one, so that several pictures on a page do not disturb each
    other. label: for readers who do not see the picture. Style sheets, which would reach the whole page, give way to
    attributes of the picture. Raises ValueError for a text that is no SVG.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"text: is no XML ({error})") from None
    if root.tag != f"{SPACE}svg":
        raise ValueError(f"text: expected an svg element, got {root.tag}")
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{SPACE}metadata", f"{SPACE}style"):
                parent.remove(child)
    seen = set()
    for element in root.iter():
        if element.get("id") in seen:
            del element.attrib["id"]  # matplotlib names images by what they show: two that are alike bear one name
        seen.add(element.get("id", ""))
        element.tag = element.tag.removeprefix(SPACE)
        attributes = {key.removeprefix(LINK): with_prefix(key, value, prefix) for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(attributes)
    style = "stroke-linejoin: round; stroke-linecap: butt"  # what matplotlib's style sheet says of everything
    root.attrib.update({"xmlns": SPACE[1:-1], "role": "img", "aria-label": readable(label), "style": style})
    return ElementTree.tostring(root, encoding="unicode")


def with_prefix(key: str, value: str, prefix: str) -> str:
    """An attribute's value with the prefix before its id or those it refers to; an image's bytes in one piece."""
    if key == "id":
        return f"{prefix}-{value}"
    if key.removeprefix(LINK) == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    if value.startswith("data:"):
        return "".join(value.split())
    return re.sub(r"url\(#", f"url(#{prefix}-", value)


def settings_groups(settings: Mapping[str, Any], title: str = "") -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Nested settings → (title, [(name, text)]) for every dict that holds plain values, titles of inner ones dotted."""
    plain = [(key, plain_text(value)) for key, value in settings.items() if not isinstance(value, dict)]
    if plain:
        yield title, plain
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from settings_groups(value, f"{title}.{key}" if title else key)


def plain_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def mathml_converter(what: str = "--html", extra: str = "plots") -> Callable[[str], str]:
    """A function LaTeX → MathML, which browsers draw without a script.

    Raises UserError that names `what` and the extra where latex2mathml is not installed.
    """
    try:
        from latex2mathml.converter import convert
    except ImportError:
        raise UserError(f"{what}: formulas need latex2mathml, which is not installed; {install_extra(extra)}") from None
    # Fractions and sums in full size, yet in the line.
    return lambda latex: convert(latex).strip().replace("<math ", '<math displaystyle="true" ', 1)
