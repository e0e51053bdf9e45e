"""The page of a study: as its golden file says, well-formed, self-contained, and hostile texts stay text."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install -e '.[plots]'")

from engine.support.errors import UserError
from layers.experiments.study.page import HEADINGS, page_html, write_page
from tests.support.pages import assert_golden, check_page, without_pictures, words_of

SVG = """<svg viewBox="0 0 9 9" xmlns="http://www.w3.org/2000/svg"><clipPath id="c"><path d="M 0 0"/></clipPath>
<g id="g" clip-path="url(#c)"/></svg>"""


def test_the_page_is_as_before(make_study):
    """Table, captions and settings, with every picture."""
    page = page_html(make_study(steps=20), {name: SVG for name in HEADINGS})
    check_page(page)
    assert_golden(Path(__file__).parent / "golden" / "study.html", without_pictures(page))


def test_hostile_names_and_settings_stay_text(make_study):
    hostile = "</td><script>x</script>"
    study = make_study((f"run {hostile}", "modulation"), 3)
    study["settings"] = {"train_file": f"/{hostile}.csv", "a<b": {"text": f"{hostile}\0"}}
    text = page_html(study, {"waves": SVG})
    words = words_of(check_page(text))
    assert all(
        part in words for part in (f"run {hostile}", f"/{hostile}.csv", "a<b", f"{hostile}\N{REPLACEMENT CHARACTER}")
    )
    assert "\0" not in text and "<script" not in text


def test_real_pictures_stand_on_one_page(written, tmp_path):
    study, _, figures = written
    write_page(tmp_path / "study.html", study, figures)
    root = check_page((tmp_path / "study.html").read_text(encoding="utf-8"))
    headings = [section.find("h2").text for section in root.iterfind(".//section[@class='study']")]
    assert headings == list(HEADINGS.values())


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
