"""Tables line up."""

from engine.support.text import format_table, markdown_table


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
