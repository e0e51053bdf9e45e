"""The page of a study is well-formed, loads nothing, and holds every reading, picture and setting."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from engine.report.html import inline_svg
from engine.support.errors import UserError
from layers.experiments.study.page import HEADINGS, page_html, write_page
from layers.experiments.study.summary import explanations, readings_table

SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9" xmlns="http://www.w3.org/2000/svg">
<metadata>x</metadata><defs><style type="text/css">*{fill: red}</style><path id="p" d="M 0 0"/><clipPath id="c"><path d="M 0 0"/></clipPath></defs>
<!-- a label --><g id="g" clip-path="url(#c)" style="clip-path: url(#c)"><use xlink:href="#p"/>
<image xlink:href="data:image/png;base64,
AA
AA"/><g id="g"/></g></svg>"""


def own(name):
    return inline_svg(SVG, name, f"<{name}>")


def test_ids_and_references_are_the_pictures_own():
    root = ElementTree.fromstring(own("a"))
    text = ElementTree.tostring(root, encoding="unicode")
    assert re.findall(r' id="([^"]*)"', text) == ["a-p", "a-c", "a-g"]
    assert re.findall(r'href="(#[^"]*)"', text) == ["#a-p"] and re.findall(r"url\(([^)]*)\)", text) == ["#a-c", "#a-c"]
    assert "style type" not in text and "metadata" not in text and root.get("aria-label") == "<a>"
    assert "data:image/png;base64,AAAA" in text and "xlink" not in text and own("a").startswith("<svg ")


@pytest.mark.parametrize(
    "text, message",
    [("<svg", "no XML"), ("<svg/>", "svg element"), ("<p xmlns='http://www.w3.org/2000/svg'/>", "svg element")],
)
def test_what_is_no_svg_is_refused(text, message):
    with pytest.raises(ValueError, match=f"^text: .*{message}"):
        inline_svg(text, "a", "b")


def test_the_page_is_well_formed_self_contained_and_complete(make_study):
    study = make_study(steps=20)
    study["settings"] = {"data": "</td><script>", "deep": {"a<b": [1, 2], "inner": {"on": True, "none": None}}}
    text = page_html(study, {name: SVG for name in HEADINGS})
    root = ElementTree.fromstring(text)
    assert root.tag == "html" and text.startswith("<!DOCTYPE html>") and "<script" not in text and "<link" not in text
    assert all(address.startswith(("#", "data:")) for address in re.findall(r'(?:href|src)="([^"]*)"', text))
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids)) == 3 * len(HEADINGS)
    assert {
        address[1:]
        for address in re.findall(r'href="(#[^"]*)"|url\((#[^)]*)\)', text)
        for address in address
        if address
    } <= set(ids)
    everything = "".join(root.itertext())
    for row in readings_table(study)[1]:
        assert all(cell in everything for cell in row)
    for sentences in explanations(study).values():
        assert " ".join(sentences) in everything
    tables = ["".join(section.itertext()) for section in root.iterfind(".//div[@class='settings']/section")]
    assert tables == ["data</td><script>", "deepa<b[1, 2]", "deep.innerontruenonenull"]


def test_real_pictures_stand_on_one_page(written, tmp_path):
    study, _, figures = written
    write_page(tmp_path / "study.html", study, figures)
    text = (tmp_path / "study.html").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert [section.find("h2").text for section in root.iterfind(".//section[@class='study']")] == list(
        HEADINGS.values()
    )
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    used = re.findall(r'href="#([^"]*)"', text) + re.findall(r"url\(#([^)]*)\)", text)
    assert len(ids) == len(set(ids)) and used and set(used) <= set(ids)


def test_pictures_that_are_missing_or_unknown_are_named(make_study, tmp_path):
    study = make_study(steps=3)
    with pytest.raises(UserError, match="waves.svg: cannot be read"):
        write_page(tmp_path / "study.html", study, {"waves.svg": tmp_path / "waves.svg"})
    (tmp_path / "other.svg").write_text(SVG)
    with pytest.raises(ValueError, match="^figures: 'other'"):
        write_page(tmp_path / "study.html", study, {"other.svg": tmp_path / "other.svg"})
    with pytest.raises(UserError, match="is no name of a page"):
        write_page("", study, {})
    assert not (tmp_path / "study.html").exists()


def test_a_page_without_pictures_and_of_a_single_run(make_study, tmp_path):
    write_page(tmp_path / "study.html", make_study(("transformer",), 1), {"waves.png": tmp_path / "waves.png"})
    root = ElementTree.fromstring((tmp_path / "study.html").read_text(encoding="utf-8"))
    assert root.find(".//h1").text == "Study of transformer" and root.find(".//svg") is None
