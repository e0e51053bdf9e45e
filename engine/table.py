"""Tables of text: aligned for a terminal, and in Markdown."""


def format_table(headings, rows, align=None):
    """Text of a table. align: one "<" or ">" per column; by default the first column is left, the others right."""
    align = align or "<" + ">" * (len(headings) - 1)
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [headings, *cells]) for i in range(len(headings))]
    lines = [headings, ["-" * width for width in widths], *cells]
    return "\n".join("  ".join(f"{cell:{a}{w}}" for cell, a, w in zip(line, align, widths)).rstrip() for line in lines)


def markdown_table(headings, rows, align=None):
    """The same table in Markdown."""
    align = align or "<" + ">" * (len(headings) - 1)
    escaped = [[str(cell).replace("\\", "\\\\").replace("|", "\\|") for cell in row] for row in [headings, *rows]]
    lines = [escaped[0], ["---" if a == "<" else "---:" for a in align], *escaped[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
