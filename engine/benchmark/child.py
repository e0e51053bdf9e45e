"""Measure in a process of its own, so that its imports, its caches and its peak of memory are nobody else's.

A module that measures is started with arguments and prints a line of JSON for each measurement.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from engine.support.errors import UserError

ROOT = Path(__file__).resolve().parents[2]  # from where a child process imports the same modules


def child_values(subject: str, module: str, *arguments: object) -> Iterator[Any]:
    """Run `python -m module arguments`; yield the value of each line of JSON that it prints, as soon as it is printed.

    The process is killed where nobody reads on. Where it fails, a UserError tells what could not be measured (subject),
    and the last line that the process wrote on stderr.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT) as child:
            try:
                for line in cast(IO[str], child.stdout):
                    yield json.loads(line)
            except BaseException:  # GeneratorExit among them
                child.kill()
                raise
        if child.returncode:
            errors.seek(0)
            written = [line for line in errors.read().splitlines() if line.strip()]
            reason = written[-1] if written else f"it ended with code {child.returncode}"
            raise UserError(f"measuring {subject} failed: {reason.removeprefix('error: ')}")


def child_value(subject: str, module: str, *arguments: object) -> Any:
    """Run `python -m module arguments` to its end; return the value of the single line of JSON that it prints."""
    (value,) = child_values(subject, module, *arguments)
    return value
