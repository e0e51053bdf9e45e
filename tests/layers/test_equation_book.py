"""The equation book: each equation has its file, chapter and test; chapters print the numbers of the code."""

import ast
import contextlib
import io
import re

import pytest

from tests.support.paths import ROOT

LAYERS = ROOT / "layers"
BOOK = (LAYERS / "README.md").read_text(encoding="utf-8")
NUMBERS = [f"E{n}" for n in range(1, 24)]
CHAPTERS = sorted([*LAYERS.glob("wave/*.md"), *LAYERS.glob("standard/*.md")])
EXAMPLES = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def rows_of(heading, start):
    """The rows of the table under a heading that begin with `start`, as lists of cells."""
    section = BOOK.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [re.split(r" *\| *", line.strip("| ")) for line in section.splitlines() if line.startswith(start)]


EQUATIONS = rows_of("Table of equations", "| [E")
SINGULAR = rows_of("Table of singular and ill-conditioned places", "| E")


def links(cell):
    """The (text, target) pairs of the links in a cell."""
    return re.findall(r"\[([^]]+)\]\(([^)#]+)\)", cell)


def docstring(path):
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def test_the_map_of_the_book_is_short():
    assert len(BOOK.splitlines()) <= 210


def test_every_equation_has_a_row():
    assert [links(row[0])[0][0] for row in EQUATIONS] == NUMBERS
    assert {row[0].split()[0] for row in SINGULAR} == set(NUMBERS)


@pytest.mark.parametrize("row", EQUATIONS, ids=NUMBERS)
def test_an_equation_has_its_file_chapter_and_test(row):
    """The chapter x.md beside x.py bears the same number, and each points to the other."""
    ((number, chapter),), ((name, file),), ((_, test),) = links(row[0]), links(row[3]), links(row[4])
    chapter, file, test = LAYERS / chapter, LAYERS / file, LAYERS / test
    assert chapter == file.with_suffix(".md") and file.name == name and test.resolve().exists()
    text = chapter.read_text(encoding="utf-8")
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
    assert f"\ndef test_{name.replace(' ', '_')}(" in (LAYERS / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["token2wave", "correlation"])
def test_the_code_of_a_chapter_prints_what_follows_it(name):
    ((code, expected),) = EXAMPLES.findall((LAYERS / "wave" / f"{name}.md").read_text(encoding="utf-8"))
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(code, f"{name}.md", "exec"), {})
    assert output.getvalue() == expected


def test_all_examples_of_chapters_are_run():
    shown = [path.stem for path in CHAPTERS if "```python" in path.read_text(encoding="utf-8")]
    assert shown == ["correlation", "token2wave"]
