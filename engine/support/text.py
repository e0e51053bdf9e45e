"""Tables of text: aligned for a terminal, and in Markdown.

Text from outside, made safe to show: nothing in it can move a cursor, break a line or be refused by XML.
"""

import html
import unicodedata


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


MISSING = "\N{REPLACEMENT CHARACTER}"


def visible(text, longest=None):
    """The text with control characters as the signs that stand for them (NUL as ␀), and cut with "…" after `longest`.

    Lone surrogates and code points that are no characters become U+FFFD.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return "".join(map(visible_character, text))


def visible_character(character):
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    is_none = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return MISSING if is_none or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character


def escape(text):
    """Any text as content or attribute value of HTML and XML."""
    return html.escape(visible(text), quote=True)
