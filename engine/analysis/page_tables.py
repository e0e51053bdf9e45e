"""Tables of a page as HTML: readings by run, and nested settings. All text is escaped here."""

import json

from engine.visible import escape


def table_html(headings, rows, kind="readings"):
    """headings and cells: texts; the first cell of a row is its heading. kind: class of the table in the style of the pages."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    lines = (f'<tr><th scope="row">{escape(label)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for label, *cells in rows)
    return f'<div class="numbers"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def settings_html(settings):
    """Nested settings as small tables side by side, one for each dict that holds plain values."""
    return '<div class="settings">' + "".join(group_html(*group) for group in groups(settings)) + "</div>"


def groups(settings, title=""):
    """Nested settings → (title, [(name, text)]) for every table that holds plain values, titles of inner ones joined by dots."""
    plain = [(key, plain_text(value)) for key, value in settings.items() if not isinstance(value, dict)]
    if plain:
        yield title, plain
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from groups(value, f"{title}.{key}" if title else key)


def plain_text(value):
    return value if isinstance(value, str) else json.dumps(value)


def group_html(title, rows):
    lines = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in rows)
    return f"<section><h3>{escape(title)}</h3><table><tbody>{lines}</tbody></table></section>"
