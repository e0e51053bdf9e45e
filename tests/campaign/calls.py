"""Kills and errors at every call that changes a file, of a run from its beginning to its end.

The interpreter tells a hook of each call before it is made (sys.addaudithook): there the process can be killed, and an
error that is raised there is that of the call.
"""

import contextlib
import errno
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.program import begin, corpus_in, difference, in_child, left_behind, resumed, wrong_end
from tests.campaign.trials import Trials
from tests.support.final_state import final_state

CHANGES = {"os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.truncate", "os.utime"}
REMOVALS = {"os.remove", "os.rmdir"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE)


def before_calls(folder: Path, act: Callable[[int, Any], None], reads: bool = False) -> Callable[[], None]:
    """A function that makes the hook: it calls act(number from 1, path) before each call in a folder.

    reads: whether opening to read counts, too.
    """
    seen = 0

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in CHANGES and not (event == "open" and (reads or given[2] & WRITES)):
            return
        path = str(given[0])
        if event in REMOVALS and given[1] != -1:  # relative to an open folder
            with contextlib.suppress(OSError):  # where the system does not tell, it is not counted
                path = os.path.join(os.readlink(f"/proc/self/fd/{given[1]}"), path)
        if path.startswith(str(folder)):
            seen += 1
            act(seen, path)

    return lambda: sys.addaudithook(hook)


def attacked(trials: Trials, folder: Path, reads: bool) -> tuple[list[str], list[int], Any]:
    """(words, numbers of the calls in a folder in random order, final state) of a run that is left alone."""
    files, output = corpus_in(trials.folder / "corpus"), trials.folder / "work" / "run"
    output.parent.mkdir()
    words = begin(files, output)
    with tempfile.TemporaryFile() as told:
        counted = before_calls(folder, lambda number, path: os.truncate(told.fileno(), number), reads)
        done = in_child(words, counted)
        assert done.code == 0, done
        numbers = list(range(1, os.fstat(told.fileno()).st_size + 1))
    trials.rng.shuffle(numbers)
    return words, numbers, final_state(output)


def anew(output: Path) -> None:
    """An empty folder around a run."""
    shutil.rmtree(output.parent)
    output.parent.mkdir()


def kill(number: int, path: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at(number: int, act: Callable[[int, Any], None]) -> Callable[[int, Any], None]:
    """The same act at one call alone."""
    return lambda seen, path: act(seen, path) if seen == number else None


def kills_at_calls(trials: Trials) -> None:
    """A run that is killed before any one of its calls goes on to the same bits."""
    output = trials.folder / "work" / "run"
    words, numbers, expected = attacked(trials, output.parent, False)
    for number in numbers:
        if not trials.going_on():
            return
        anew(output)
        done = in_child(words, before_calls(output.parent, at(number, kill)))
        problem = None if done.code in (0, -signal.SIGKILL) else wrong_end(done)
        if problem is None:
            after = resumed(words, output)
            problem = wrong_end(after, (0,)) or difference(output, expected)
        if problem is None and (left := left_behind(output) or (output / "lock").exists()):
            problem = f"left {left}"
        trials.expect(problem, f"killed before call {number} of {len(numbers)}", "resumed to the same bits")


def errors_at_calls(trials: Trials) -> None:
    """A run of which any one call fails says so in a line, or needs it not, and goes on to the same bits."""
    output = trials.folder / "work" / "run"
    words, numbers, expected = attacked(trials, trials.folder, True)
    for turn in trials.numbers():
        number, code = numbers[turn % len(numbers)], trials.rng.choice(ERRORS)

        def fail(seen: int, path: Any, code: int = code) -> None:
            raise OSError(code, os.strerror(code), str(path))

        anew(output)
        done = in_child(words, before_calls(trials.folder, at(number, fail), reads=True))
        problem = wrong_end(done)
        if problem is None and (left := left_behind(output)):
            problem = f"left {left}"
        if problem is None:
            problem = wrong_end(resumed(words, output), (0,)) or difference(output, expected, more=True)
        name = "was told, and resumed to the same bits" if done.code else "needed it not"
        trials.expect(problem, f"{errno.errorcode[code]} at call {number} of {len(numbers)}", name)
