"""The equation book: each equation has its file, chapter and test; chapters have one form, and their code runs."""

import ast
import contextlib
import io
import re
import shlex

import pytest

import train
from layers.experiments.gradcheck.suite import chosen_cases
from tests.support.paths import ROOT

LAYERS = ROOT / "layers"
BOOK = (LAYERS / "README.md").read_text(encoding="utf-8")
NUMBERS = [f"E{n}" for n in range(1, 27)]
WAVES = ["E17", "E20", "E23"]  # read after the bags, which follow E7
READING = [*NUMBERS[:7], "bags", *WAVES, *(number for number in NUMBERS[7:] if number not in WAVES), "networks"]
CHAPTERS = sorted([*LAYERS.glob("wave/*.md"), *LAYERS.glob("standard/*.md")])
PAGES = sorted(LAYERS.rglob("*.md"))
FORM = ["Statement", "Derivation", "Singular points", "Example", "Exercise", "Check"]
OPTIONAL = ["Rounding and cost"]
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
SOLUTION = re.compile(
    r"^<details>\s*<summary>[^<>\n]+</summary>\n\n(?:(?!</?details>).)*\n\n</details>$", re.DOTALL | re.MULTILINE
)


def read(path):
    return path.read_text(encoding="utf-8")


def rows_of(heading):
    """The rows of the table under a heading, as lists of cells."""
    section = BOOK.split(f"\n## {heading}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [re.split(r" *\| *", line.strip("| ")) for line in lines[2:]]


def links(cell):
    """The (text, target) pairs of the links in a cell."""
    return re.findall(r"\[([^]]+)\]\(([^)#]+)\)", cell)


ROWS = rows_of("Table of equations")
EQUATIONS = [row for row in ROWS if re.match(r"\[E\d", row[0])]
SINGULAR = rows_of("Table of singular and ill-conditioned places")
EXAMPLES = [(page, *blocks) for page in PAGES for blocks in EXAMPLE.findall(read(page))]


def docstring(path):
    return ast.get_docstring(ast.parse(read(path))) or ""


def name_of(path):
    return path.relative_to(LAYERS).as_posix()


def prose(text):
    """The text without fenced blocks and tables, each link reduced to its words."""
    text = re.sub(r"^```.*?^```$|^\|.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\]\([^)\s]*\)", "]", text)


def titles(text):
    """The headings of the second level, outside fenced blocks."""
    return re.findall(r"^## (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)


def section(text, title):
    return re.split(r"^## ", text.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


# --- the map -----------------------------------------------------------------------------------------------------


def test_the_map_of_the_book_is_short():
    assert len(BOOK.splitlines()) <= 200


def test_equations_stand_in_the_order_of_reading():
    assert [links(row[0])[0][0] for row in ROWS] == READING


def test_singular_places_stand_in_the_order_of_reading():
    """Every equation has one at least."""
    names = [row[0].split()[0].rstrip(",") for row in SINGULAR]
    assert list(dict.fromkeys(names)) == READING[:-1]
    assert names == sorted(names, key=READING.index)


@pytest.mark.parametrize("row", EQUATIONS, ids=[links(row[0])[0][0] for row in EQUATIONS])
def test_an_equation_has_its_file_chapter_and_test(row):
    """The chapter x.md beside x.py bears the same number, and each points to the other."""
    ((number, chapter),), ((name, file),), ((_, test),) = links(row[0]), links(row[3]), links(row[4])
    chapter, file, test = LAYERS / chapter, LAYERS / file, LAYERS / test
    assert chapter == file.with_suffix(".md") and file.name == name and test.resolve().exists()
    text = read(chapter)
    assert text.startswith(f"# {number} ") and f"]({name})" in text and "](../README.md)" in text
    assert docstring(file).startswith(f"{number}  ") and chapter.name in docstring(file)


def test_every_file_with_an_equation_has_a_chapter():
    files = [*LAYERS.glob("wave/*.py"), *LAYERS.glob("standard/*.py")]
    numbered = [file for file in files if re.match(r"E\d+ ", docstring(file))]
    assert sorted(file.with_suffix(".md") for file in numbered) == CHAPTERS
    assert len(numbered) == len(NUMBERS)


@pytest.mark.parametrize("row", SINGULAR, ids=[f"{row[0]}, row {n}" for n, row in enumerate(SINGULAR, start=1)])
def test_the_test_of_a_row_exists(row):
    assert len(row) == 6 and all(row)
    ((name, path),) = links(row[5])
    assert f"\ndef test_{name.replace(' ', '_')}(" in read(LAYERS / path)


# --- the form of a chapter ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS, ids=name_of)
def test_a_chapter_has_all_parts_in_order(chapter):
    """Statement to Check, and after them rounding and cost, or nothing."""
    assert titles(read(chapter)) in (FORM, FORM + OPTIONAL)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=name_of)
def test_a_chapter_has_an_example_and_an_exercise(chapter):
    """Code in the one, a single solution in the other."""
    text = read(chapter)
    assert "```python\n" in section(text, "Example")
    exercise = section(text, "Exercise")
    assert exercise.count("<details>") == 1 and "<summary>Solution</summary>" in exercise


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_details_are_closed_and_have_a_summary(page):
    """Blank lines stand around their content, so that GitHub renders its formulas."""
    text = read(page)
    assert text.count("<details") == text.count("</details") == text.count("<summary") == len(SOLUTION.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_all_code_is_followed_by_its_output(page):
    text = read(page)
    assert text.count("```python") == len([blocks for blocks in EXAMPLE.findall(text) if blocks[1]])


@pytest.mark.parametrize("page, code, expected", EXAMPLES, ids=[name_of(page) for page, *_ in EXAMPLES])
def test_code_prints_what_follows_it(page, code, expected):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(code, page.name, "exec"), {})
    assert output.getvalue() == expected


# --- its commands ------------------------------------------------------------------------------------------------


def checked_names(page):
    """The NAMEs of all `python train.py gradcheck NAME` of a page, by the parser of the command."""
    lines = re.findall(r"python train\.py gradcheck\b([^\n`#]*)", read(page))
    return [
        train.cli.commands["gradcheck"].make_context("gradcheck", shlex.split(line)).params["words"] for line in lines
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_gradient_check_shown_selects_something(page):
    """Else chosen_cases() raises UserError."""
    for words in checked_names(page):
        chosen_cases(words)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=name_of)
def test_a_chapter_shows_the_check_of_its_equation(chapter):
    """By a command in its part Check; E16 computes nothing that has a gradient."""
    text = read(chapter)
    number = text.split()[1]
    assert "```sh\n" in section(text, "Check")
    if number == "E16":
        return
    names = [(*(case.name for case in cases), *exact) for cases, exact in map(chosen_cases, checked_names(chapter))]
    assert names and all(any(re.search(rf"\b{number}\b", name) for name in chosen) for chosen in names)
