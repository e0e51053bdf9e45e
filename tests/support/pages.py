"""Checks of pages: golden files, and that a page is well-formed and loads nothing.

A golden file is the text that a test expects, kept in the folder golden beside the test. Where a page has changed, the
test shows the difference. If it is as it should be, write the files anew, and look at the difference again in git:

    RENEW_GOLDEN=1 python -m pytest tests/engine/report tests/layers/experiments
"""

import os
import re
import xml.etree.ElementTree as ElementTree

SVG = "{http://www.w3.org/2000/svg}"
# Nothing is loaded and no script runs, whatever a page comes to hold; SVG has attributes of style.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
LOADING = {"script", "link", "img", "iframe", "object", "embed", "base"}


def assert_golden(path, text):
    """Compare a text with the golden file `path`, or write the file where RENEW_GOLDEN is set."""
    if os.environ.get("RENEW_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8"), f"{path} differs; tests/support/pages.py says how to renew it"


def without_style(page):
    """A page without its style sheet, which is a file of its own."""
    return re.sub(r"<style>.*?</style>", "<style/>", page, flags=re.DOTALL)


def without_pictures(page):
    """A page without its style sheet and the content of its pictures, which differs between versions of matplotlib."""
    picture = r'<svg[^>]*?(aria-label="[^"]*")[^>]*?(?:/>|>.*?</svg>)'
    return re.sub(picture, r"<svg \1/>", without_style(page), flags=re.DOTALL)


def leave_out_drawing(monkeypatch, *modules):
    """Let modules of engine/report give an empty picture for each: drawing takes longer than the rest of a page."""
    picture = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>'
    for module in modules or ("curve_pictures", "run_section"):
        monkeypatch.setattr(f"engine.report.{module}.svg_text", lambda draw: picture)


def check_page(text):
    """The root element of a page, once it is well-formed XML, loads nothing, and no id occurs twice or is missing.

    Its policy stands before everything to which it applies.
    """
    assert text.startswith("<!DOCTYPE html>")
    root = ElementTree.fromstring(text)
    assert root.tag == "html" and not {element.tag.removeprefix(SVG) for element in root.iter()} & LOADING
    policy = [(meta.get("http-equiv"), meta.get("content")) for meta in root.find("head")][2]
    assert policy == ("Content-Security-Policy", POLICY)
    attributes = [(key.rpartition("}")[2], value) for element in root.iter() for key, value in element.attrib.items()]
    assert not [key for key, _ in attributes if key.startswith("on")]
    addresses = [value for key, value in attributes if key in ("href", "src")]
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    (style,) = root.iter("style")
    assert "@import" not in style.text and "url(" not in style.text and "prefers-color-scheme: dark" in style.text
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    used = [address[1:] for address in addresses if address.startswith("#")]
    used += [part for _, value in attributes for part in re.findall(r"url\(#?([^)]*)\)", value)]
    assert len(ids) == len(set(ids)) and set(used) <= set(ids)
    return root


def words_of(element):
    return "".join(element.itertext())
