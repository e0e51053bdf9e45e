"""An SVG file as an element inside HTML: several of them on one page do not disturb each other.

The style of the pages: one column that fits any width, light or dark as the reader's system asks.

Tables of a page as HTML: readings by run, and nested settings. All text is escaped here.

LaTeX to MathML, which browsers draw without a script. Needs latex2mathml, of the extra `plots`.
"""

import json
import re
import xml.etree.ElementTree as ElementTree

from engine.support.errors import UserError
from engine.support.text import escape

SPACE, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


def inline_svg(text, prefix, label):
    """text: of an SVG file → of an element that is well-formed as HTML and as XML.

    prefix: comes before every id and every reference to one. label: what readers who do not see the picture are told.
    Style sheets, which would reach the whole page, give way to attributes of the picture. Raises ValueError for what is no SVG.
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
        attributes = {key.removeprefix(LINK): own(key, value, prefix) for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(attributes)
    style = (
        "stroke-linejoin: round; stroke-linecap: butt"  # what the style sheet of matplotlib's files says of everything
    )
    root.attrib.update({"xmlns": SPACE[1:-1], "role": "img", "aria-label": label, "style": style})
    return ElementTree.tostring(root, encoding="unicode")


def own(key, value, prefix):
    """An attribute's value with its ids, and those it refers to, made the picture's own; an image's bytes in one piece."""
    if key == "id":
        return f"{prefix}-{value}"
    if key.removeprefix(LINK) == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    if value.startswith("data:"):
        return "".join(value.split())
    return re.sub(r"url\(#", f"url(#{prefix}-", value)


STYLE = """
:root { color-scheme: light dark;
  --page: #fbfaf7; --card: #ffffff; --text: #22252b; --quiet: #6b7078; --line: #dcd9d1; --accent: #2f5fb3; --good: #2c7a3f;
  --bad: #b3261e; --warn: #8a6100; --badsoft: #fbe9e7;
  --c0: #2f6db5; --c1: #c2571a; --c2: #2c8a57; --c3: #a33a8c; --c4: #8a6d00; --c5: #c0344d; --c6: #0e8390; --c7: #6a51b8; }
@media (prefers-color-scheme: dark) { :root {
  --page: #16181c; --card: #1e2126; --text: #e4e4e1; --quiet: #9aa0a8; --line: #363b43; --accent: #8fb4f2; --good: #7cc88e;
  --bad: #ff8a80; --warn: #e2b95b; --badsoft: #3a2422;
  --c0: #7db2f0; --c1: #f09a62; --c2: #6fcf97; --c3: #e38fd0; --c4: #d9bd55; --c5: #f48397; --c6: #5cc9d6; --c7: #b3a1f2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .75rem; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; font-weight: 650; }
h3 { font-size: 1rem; margin: 0; font-weight: 600; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: inherit; text-decoration: none; }
.quiet, figcaption { color: var(--quiet); font-size: .875rem; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 1rem 0; }
.facts dt { color: var(--quiet); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.tokens span { display: inline-block; padding: 0 .45em; margin: 0 .3em .3em 0; border: 1px solid var(--line); border-radius: .4em;
  background: var(--card); }
.verdict { border-left: 4px solid var(--good); background: var(--card); padding: .6rem 1rem; border-radius: 0 .4rem .4rem 0;
  max-width: none; }
.verdict.bad { border-color: var(--bad); background: var(--badsoft); }
nav { display: flex; flex-wrap: wrap; gap: .35rem; margin: 1rem 0; font-size: .85rem; }
nav a { padding: .1rem .55rem; border: 1px solid var(--line); border-radius: 1rem; background: var(--card); white-space: nowrap; }
nav a:hover, nav a:focus { border-color: var(--accent); color: var(--accent); }
nav a.WRONG { border-color: var(--bad); color: var(--bad); font-weight: 600; }
nav a.kink, nav a.rounding { border-color: var(--warn); color: var(--warn); }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .6rem .6rem .4rem; }
figcaption { text-align: center; color: var(--text); font-weight: 600; }
svg { display: block; width: 100%; max-width: 30rem; height: auto; margin: 0 auto; }
svg text { font: 11.5px system-ui, "DejaVu Sans", sans-serif; fill: var(--text); }
svg .axis { stroke: var(--line); fill: none; } svg text.axis { fill: var(--quiet); stroke: none; font-style: italic; font-size: 11px; }
svg .ring { fill: none; stroke: var(--quiet); stroke-dasharray: 3 3; } svg text.ring { fill: var(--quiet); stroke: none; }
svg .shaft { stroke: var(--c); stroke-width: 1.7; fill: none; } svg .head { fill: var(--c); }
svg .leader { stroke: var(--c); stroke-width: .6; opacity: .6; fill: none; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.tokens span[class] { border-color: var(--c); }
section.stage { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; margin: .9rem 0; }
section.stage.WRONG { border-color: var(--bad); }
.stage header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem .7rem; }
.number { color: var(--accent); font-weight: 650; font-variant-numeric: tabular-nums; min-width: 2.2em; }
.formulas { display: flex; flex-wrap: wrap; gap: .4rem 2.5rem; margin: .6rem 0 .8rem; }
.formulas > div { max-width: 100%; overflow: auto hidden; padding: .1rem 0 .3rem; }
.formulas > div > div { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem 1.5rem; }
.formulas .quiet { display: block; }
math { font-size: 1.1em; font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", "DejaVu Math TeX Gyre", math; }
.numbers { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: right; padding: .1rem .5rem; white-space: nowrap; font-weight: 400; }
th:first-child { text-align: left; padding-left: 0; } td:last-child, th:last-child { padding-right: 0; }
th:first-child { width: 12.5rem; } th.norm { width: 6rem; } th.slope { width: 8.5rem; } th.mark { width: 4.5rem; }
td.mark { text-align: left; }
thead th { color: var(--quiet); font-size: .8rem; border-bottom: 1px solid var(--line); }
thead th.values { text-align: center; }
tbody + tbody tr:first-child > * { border-top: 1px solid var(--line); padding-top: .3rem; }
tbody tr:last-child > * { padding-bottom: .3rem; }
tbody tr:first-child th { font-weight: 600; }
tr.gradient th, tr.numeric th, tr.difference th { padding-left: .9rem; color: var(--quiet); }
tr.difference td:not([class]) { color: var(--quiet); }
nav .ok, tr td.ok { color: var(--good); } tr td.WRONG, p.WRONG { color: var(--bad); font-weight: 600; }
tr td.kink, tr td.rounding, p.kink, p.rounding { color: var(--warn); }
.message { font-size: .85rem; margin: .4rem 0 0; }
.study figure { background: #ffffff; overflow-x: auto; } .study svg { min-width: 40rem; max-width: none; }
.report figure { background: #ffffff; overflow-x: auto; padding: .6rem; } .report svg { max-width: none; } .report .curves svg { min-width: 40rem; }
.report svg text { fill: #22252b; } .report h3 { margin: 1.5rem 0 .4rem; } .report figure + p { margin-bottom: 0; }
.report ul { columns: 26rem; margin: 0; padding-left: 1.2rem; font-size: .9rem; font-variant-numeric: tabular-nums; }
table.narrow { width: auto; } table.texts td { text-align: left; white-space: normal; vertical-align: top; min-width: 5.5rem; }
table.texts th { vertical-align: top; text-align: left; width: auto; } table.texts td:last-child { width: 60%; min-width: 16rem; overflow-wrap: anywhere; }
table.readings tbody tr > * { padding-top: .2rem; padding-bottom: .2rem; border-top: 1px solid var(--line); }
table.readings tbody tr:first-child > * { border-top: none; font-weight: 400; } table.readings thead th { font-size: .85rem; }
.settings { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: 1.25rem 2rem; align-items: start; }
.settings td { white-space: normal; overflow-wrap: anywhere; text-align: left; } .settings tbody tr > * { vertical-align: top; }
.settings tbody tr:first-child th { font-weight: 400; }
footer { margin-top: 2rem; color: var(--quiet); font-size: .85rem; }
@media (max-width: 40rem) {
  main { padding: 1rem .75rem 3rem; } h1 { font-size: 1.35rem; } section.stage { padding: .7rem .75rem; }
  table { font-size: .75rem; } th, td { padding: .1rem .25rem; } tbody th { white-space: normal; }
  th:first-child { width: 7.5rem; min-width: 7.5rem; } th.norm, th.slope, th.mark { width: auto; }
  tr.gradient th, tr.numeric th, tr.difference th { padding-left: .4rem; }
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: .4rem; }
}
@media print { body { background: none; } section.stage, figure { break-inside: avoid; } }
"""


def document(title, body):
    """A whole page as text. title: plain text. body: elements as HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, body))
        + "\n</main>\n</body>\n</html>\n"
    )


def table_html(headings, rows, kind="readings"):
    """headings and cells: texts; the first cell of a row is its heading. kind: class of the table in the style of the pages."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    lines = (
        f'<tr><th scope="row">{escape(label)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for label, *cells in rows
    )
    return f'<div class="numbers"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def settings_html(settings):
    """Nested settings as small tables side by side, one for each dict that holds plain values."""
    return '<div class="settings">' + "".join(group_html(*group) for group in groups(settings)) + "</div>"


def groups(settings, title=""):
    """Nested settings → (title, [(name, text)]) for every table that holds plain values, titles of inner ones joined by dots."""
    plain = [(key, plain_text(value)) for key, value in settings.items() if not isinstance(value, dict)]
    if plain:
        yield title, plain
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from groups(value, f"{title}.{key}" if title else key)


def plain_text(value):
    return value if isinstance(value, str) else json.dumps(value)


def group_html(title, rows):
    lines = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in rows)
    return f"<section><h3>{escape(title)}</h3><table><tbody>{lines}</tbody></table></section>"


def mathml_converter(what="--html"):
    """A function LaTeX → MathML text. UserError that names `what` and the extra where latex2mathml is not installed."""
    try:
        from latex2mathml.converter import convert
    except ImportError:
        raise UserError(
            f"{what}: formulas need latex2mathml, which is not installed; pip install -e '.[plots]'"
        ) from None
    # Fractions and sums in full size, yet in the line.
    return lambda latex: convert(latex).strip().replace("<math ", '<math displaystyle="true" ', 1)
