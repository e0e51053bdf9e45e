"""The page of a trace: as its golden file says, well-formed, self-contained, and any text stays text."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install -e '.[plots]'")

from engine.report.html import PICTURES, readable
from engine.report.phasors import Phasors
from engine.support.errors import UserError
from engine.support.text import sanitize
from layers.experiments.trace.page import Card, Formula, Line, Numbers, Page, page_html, write_page
from tests.support.pages import assert_golden, check_page, without_style, words_of

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
        Line("value", "rows <1>  2×2", "1.5", ["1.0", "-2.0"], ""),
        Line("gradient", "by hand", "1.5", ["0.1"], "1e-3"),
        Line("numeric", "numerical", "", ["0.1"], "1e-3"),
        Line("difference", "difference", "", ["0e+00"], "0e+00"),
    ]
    arrays, formulas = [Numbers(lines, verdict, "note <&>")], [Formula("forward", ["a < b", "c"])]
    cards = [Card(f"E{i}", "map & more", f"stage <{i}>", f"a.b{i}", formulas, arrays) for i in (1, 2)]
    pictures = [("Phasors <0>", [Phasors("wave & wave", tokens, numbers, 2.0, "G < 3")])]
    facts, notes = [("label", "<script>&"), ("network", "/<script>/run: d = 4")], ["a note <&>"]
    return Page(
        "Title <&>", "verdict <&>", verdict != "WRONG", facts, tokens, pictures, "note", cards, notes, columns=3
    )


def fake_mathml(latex):
    return f"<math><mi>{latex.replace('<', '&lt;')}</mi></math>"


@pytest.mark.parametrize("verdict", ["ok", "WRONG"])
def test_the_page_is_as_before(verdict):
    """With all its phasors, which no library draws."""
    page = page_of(["[CLS]", "was", "<b>", "was"], [0.01 + 0j, 2j, 1 - 1j, 2j], verdict)
    golden = Path(__file__).parent / "golden" / f"trace_{verdict}.html"
    assert_golden(golden, without_style(page_html(page, fake_mathml)))


def test_hostile_tokens_labels_and_paths_stay_text():
    text = page_html(page_of(), fake_mathml)
    root = check_page(text)
    (shown,) = root.iterfind(".//dd[@class='tokens']")
    assert [span.text for span in shown] == [sanitize(token, 40).translate(PICTURES) for token in TOKENS]
    titles = [title.text for title in root.iterfind(".//svg//title")]
    assert all(any(text.startswith(readable(token, 100)) for text in titles) for token in TOKENS)
    assert not {"b", "i"} & {element.tag for element in root.iter()}
    assert "<script>&" in words_of(root) and "/<script>/run: d = 4" in words_of(root)
    assert "\0" not in text and "\x1b" not in text and "<script" not in text


def test_long_texts_show_their_first_tokens():
    tokens = [f"t{i}" for i in range(300)]
    root = ElementTree.fromstring(page_html(page_of(tokens, [complex(i, 1) for i in range(300)]), fake_mathml))
    (shown,) = root.iterfind(".//dd[@class='tokens']")
    assert len(shown) == 200 and words_of(shown).endswith("t199 … 300 in all")


@pytest.mark.parametrize("verdict, bad", [("ok", False), ("kink", False), ("WRONG", True)])
def test_a_mismatch_stands_out(verdict, bad):
    root = ElementTree.fromstring(page_html(page_of(verdict=verdict), fake_mathml))
    assert (root.find(".//p[@class='verdict bad']") is not None) == bad
    assert root.find(f".//section[@class='stage {verdict}']") is not None
    assert root.find(f".//nav/a[@class='{verdict}']") is not None
    assert root.find(f".//td[@class='mark {verdict}']").text == verdict


def test_lines_of_a_table_have_equally_many_cells():
    root = ElementTree.fromstring(page_html(page_of(), fake_mathml))
    assert {sum(int(cell.get("colspan", 1)) for cell in row) for row in root.iter("tr")} == {4 + 3}


def test_writing(tmp_path):
    write_page(tmp_path / "a.html", page_of(), fake_mathml)
    assert ElementTree.parse(tmp_path / "a.html").getroot().tag == "html"
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
    for path in ("", tmp_path / "absent" / "a.html", tmp_path):
        with pytest.raises(UserError):
            write_page(path, page_of(), fake_mathml)
