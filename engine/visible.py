"""Text from outside, made safe to show: nothing in it can move a cursor, break a line or be refused by XML."""

import html
import unicodedata

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
