"""Text for people: tables, aligned for a terminal or in Markdown, and foreign text made safe to show.

In sanitized text nothing can move a cursor, break a line or be refused by XML.
"""

import unicodedata
from collections.abc import Iterable, Sequence


def format_table(headings: Sequence[str], rows: Iterable[Iterable[object]], align: str | None = None) -> str:
    """Text of a table. align: one "<" or ">" per column; by default the first column is left, the others right."""
    align = align or "<" + ">" * (len(headings) - 1)
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [headings, *cells]) for i in range(len(headings))]
    lines = [headings, ["-" * width for width in widths], *cells]
    return "\n".join("  ".join(f"{cell:{a}{w}}" for cell, a, w in zip(line, align, widths)).rstrip() for line in lines)


def markdown_table(headings: Sequence[str], rows: Iterable[Iterable[object]], align: str | None = None) -> str:
    """Markdown of a table; arguments as in format_table()."""
    align = align or "<" + ">" * (len(headings) - 1)
    escaped = [[str(cell).replace("\\", "\\\\").replace("|", "\\|") for cell in row] for row in [headings, *rows]]
    lines = [escaped[0], ["---" if a == "<" else "---:" for a in align], *escaped[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def duration(seconds: float) -> str:
    """A time as people read it, in its two largest units: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def epochs_text(epochs: float) -> str:
    """A number of epochs, which may have a fraction: 2, 1.5, 0.33."""
    return f"{round(epochs, 2):g}"


MISSING = "\N{REPLACEMENT CHARACTER}"


def sanitize(text: str, longest: int | None = None) -> str:
    """The text with control characters as the signs that stand for them (NUL as ␀), and cut with "…" after `longest`.

    Lone surrogates and code points that are no characters become U+FFFD.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return text if text.isprintable() else "".join(map(sanitized_character, text))


def sanitized_character(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    is_none = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return MISSING if is_none or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character
