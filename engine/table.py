"""Aligned tables for a terminal."""


def format_table(headings, rows, align=None):
    """Text of a table. align: one "<" or ">" per column; by default the first column is left, the others right."""
    align = align or "<" + ">" * (len(headings) - 1)
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [headings, *cells]) for i in range(len(headings))]
    lines = [headings, ["-" * width for width in widths], *cells]
    return "\n".join("  ".join(f"{cell:{a}{w}}" for cell, a, w in zip(line, align, widths)).rstrip() for line in lines)
