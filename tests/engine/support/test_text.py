"""Tables line up, and times are read at a glance."""

import pytest

from engine.support.text import duration, format_table, markdown_table


def test_columns_are_as_wide_as_their_widest_cell():
    """Columns are as wide as their widest cell, the first left, the others right."""
    text = format_table(["name", "n"], [["a", 1], ["longer", 1000]])
    assert text.split("\n") == ["name       n", "------  ----", "a          1", "longer  1000"]


def test_alignment_can_be_chosen_and_lines_end_without_spaces():
    text = format_table(["a", "long"], [[100, "x"]], align="><")
    assert text.split("\n") == ["  a  long", "---  ----", "100  x"]


def test_a_table_without_rows_keeps_its_headings():
    """A table without rows or with empty cells keeps its headings."""
    assert format_table(["a", "bc"], []) == "a  bc\n-  --"
    assert format_table(["a", ""], [["", ""]]) == "a\n-\n"


def test_markdown_aligns_and_escapes():
    text = markdown_table(["a", "b|c"], [["x", 1], ["back\\slash", "1 | 2"]])
    assert text.split("\n") == ["| a | b\\|c |", "| --- | ---: |", "| x | 1 |", "| back\\\\slash | 1 \\| 2 |"]
    assert markdown_table(["a", "b"], [], align=">>") == "| a | b |\n| ---: | ---: |"


@pytest.mark.parametrize(
    "seconds, text",
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.7, "1 h 0 min"), (7530, "2 h 5 min")],
)
def test_a_time_in_its_two_largest_units(seconds, text):
    assert duration(seconds) == text
