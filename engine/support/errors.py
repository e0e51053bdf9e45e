"""The error that a user can mend."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class UserError(Exception):
    """Something outside the program is wrong: a file, an option, a device, the network.

    The message is one line that names the file (and its line), the value and the remedy. The command line prints it
    on stderr and exits with code 2, without a traceback. Errors in a caller's own code raise ValueError instead.
    """


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, or its class where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def described(error: BaseException) -> str:
    """An exception that was raised, in one line: its class, its text, and the line of code that raised it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"


def require_utf8(text: str, where: str, remedy: str) -> None:
    """Raise UserError for bytes of the command line that are not UTF-8.

    They arrive as lone surrogates, which no file can be written with.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: {text[error.start]!r} is not UTF-8; {remedy}") from None


def with_place(where: str, function: Callable[..., T], *arguments: Any) -> T:
    """Return function(*arguments), with `where` before the text of its UserError."""
    try:
        return function(*arguments)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
