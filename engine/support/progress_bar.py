"""Bars for people who wait, on a terminal alone. tqdm, whose import takes a tenth of a short command, is left out
elsewhere.
"""

import sys
from typing import Any


class NoBar:
    """A bar that shows nothing."""

    def __enter__(self) -> "NoBar":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, _: int = 1) -> None:
        pass

    def set_postfix_str(self, *_: object, **__: object) -> None:
        pass

    def close(self) -> None:
        pass


def on_terminal() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def progress_bar(hidden: bool | None = None, **options: Any) -> Any:
    """The tqdm of these options on standard error, or a NoBar. hidden: None hides it where that is no terminal."""
    if hidden or (hidden is None and not on_terminal()):
        return NoBar()
    from tqdm import tqdm

    return tqdm(**options)
