"""Text for people: tables, aligned for a terminal or in Markdown, and foreign text made safe to show.

In sanitized text nothing can move a cursor, break a line or be refused by XML.
"""

import re
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
BIDI_OVERRIDES = "\u202a-\u202e\u2066-\u2069"  # after which what follows may be shown in another order
NO_CHARACTERS = "\ufdd0-\ufdef" + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
UNSAFE = re.compile(f"[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029{BIDI_OVERRIDES}\\ud800-\\udfff{NO_CHARACTERS}]")


def sanitize(text: str, longest: int | None = None) -> str:
    """The text with control characters as the signs that stand for them (NUL as ␀), and cut with "…" after `longest`.

    Lone surrogates, code points that are no characters and those that turn the direction of a line become U+FFFD.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return UNSAFE.sub(sign_of, text)


def printable(text: str) -> str:
    """The text as sanitize() gives it, but for its line breaks and tabs."""
    return UNSAFE.sub(lambda match: match[0] if match[0] in "\n\t" else sign_of(match), text)


SHOWN_CHARACTERS = 60


def shown(value: object) -> str:
    """Show a value in a message: quoted, on one line, at most SHOWN_CHARACTERS long."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def sign_of(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else MISSING
