"""A file that holds the names of further tokens of a run, affixes or character n-grams, as a JSON list."""

import json

from engine.support.errors import UserError
from engine.support.files import AnyPath, parse_json, read_text, write_text


def save_names(names: list[str], path: AnyPath) -> None:
    """Write a list of names; the file is replaced at once or not at all. UserError where it cannot be written."""
    write_text(path, json.dumps(names, ensure_ascii=False, indent=0))


def load_names(path: AnyPath, what: str) -> list[str]:
    """The names that save_names() wrote. UserError for anything else. what: their kind, for its message."""
    try:
        names = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: the {what} of the run cannot be read ({error}); restore the file or train again"
        ) from None
    if not isinstance(names, list) or not set(map(type, names)) <= {str}:
        raise UserError(
            f"{path}: the {what} of the run cannot be read (it is no list of texts); restore the file or train again"
        )
    return names
