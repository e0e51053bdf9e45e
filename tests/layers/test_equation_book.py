"""The equation book's table of singular and ill-conditioned places names tests that exist, for every equation."""

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[2] / "layers" / "README.md"
HEADING = "## Table of singular and ill-conditioned places\n"
TABLE = BOOK.read_text(encoding="utf-8").split(HEADING)[1]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| E")]


def test_every_equation_has_a_row():
    assert {f"E{n}" for n in range(1, 20)} == {row[0].split()[0] for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}, row {number}" for number, row in enumerate(ROWS, start=1)])
def test_the_test_of_a_row_exists(row):
    assert len(row) == 6 and all(row)
    (link,) = re.findall(r"\[([^]]+)\]\(([^)]+\.py)\)", row[5])
    name, path = link
    assert f"\ndef test_{name.replace(' ', '_')}(" in (BOOK.parent / path).read_text(encoding="utf-8")
