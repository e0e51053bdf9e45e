"""Printing: all that commands print passes through echo(), so that foreign text cannot move a cursor or hide a line."""

import contextlib
import os
import sys
from typing import Any

import click

from engine.support.text import printable


def echo(text: Any = "", err: bool = False, nl: bool = True, data: bool = False) -> None:
    """Print text, made safe by printable(). data: leave it as it is, unless standard output is a terminal."""
    as_it_is = data and not sys.stdout.isatty()
    click.echo(str(text) if as_it_is else printable(str(text)), err=err, nl=nl, color=as_it_is or None)


def note(line: str, err: bool = False) -> None:
    """Print a line on what is going on, or lose it: a training does not end because nobody reads its log any more."""
    with contextlib.suppress(OSError):
        echo(line, err=err)


def takes_unicode() -> bool:
    """Whether standard output can hold every character."""
    return "utf" in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()


def open_closed_streams() -> None:
    """Let standard output and error lead nowhere where they were closed at the start.

    Libraries write there unasked, and no file may be opened under their numbers.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is not None:
            continue
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.fstat(number)
        except OSError:
            os.dup2(nowhere, number)
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


def give_up_output() -> None:
    """Where standard output or error takes no more, drop what is left, which would fail once more at the end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
