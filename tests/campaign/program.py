"""The program in children of this process, on a tiny corpus; what a refusal must look like, and equal runs."""

import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import engine.training.trainer  # noqa: F401 (functions in C)
import layers.networks  # noqa: F401
import train
from engine.compiled import c_file
from engine.support import cache_folder
from tests.support.final_state import final_state
from tests.support.paths import ROOT
from tests.train.conftest import write_corpus

PATIENCE = 60  # seconds, after which a child hangs
UNSAFE = set("\x1b\x07\x9b\u202e\u2066\r\0")
SMALL = [
    "--dimension", "8", "--epochs", "3", "--batch-size", "8", "--vocabulary-size", "200",
    *(part for field in ("hidden=8", "averaging=0.7", "validations=2", "checkpoint_seconds=0", "char_ngrams=3",
                         "token_dropout=0.3", "patience=0", "ngrams=2") for part in ("--set", field)),
]  # fmt: skip

for file in c_file.files:
    c_file.library(file)  # here, since children have no cache folder to compile it into


class Outcome(NamedTuple):
    """What became of a child. code: its exit code, minus the number of the signal that ended it, None if it hung."""

    code: int | None
    out: str
    err: str


def begin(files: Mapping[str, Path], output: Path, *more: str) -> list[str]:
    """The words that train on the tiny corpus into a folder, with a cache beside it."""
    corpus = ["--train-file", str(files["train"]), "--test-file", str(files["test"])]
    return [*corpus, *SMALL, "--output", str(output), "--cache-dir", str(output.parent / "cache"), *more]


def corpus_in(folder: Path) -> dict[str, Path]:
    """The files of the tiny corpus, written into a folder."""
    folder.mkdir(exist_ok=True)
    return write_corpus(folder)


def in_child(words: list[str], prepare: Callable[[], object] = lambda: None, seconds: float = PATIENCE) -> Outcome:
    """Run the command line in a forked child, after prepare() there."""
    return wait(start(words, prepare), seconds)


class Child(NamedTuple):
    """A forked child, and the files of its output and its errors."""

    pid: int
    streams: list[Any]


def start(words: list[str], prepare: Callable[[], object] = lambda: None) -> Child:
    """Start the command line in a forked child."""
    return forked(lambda: train.main(words), prepare)


def forked(call: Callable[[], int], prepare: Callable[[], object] = lambda: None) -> Child:
    """A forked child that calls prepare(), then a function that returns its exit code."""
    streams = [tempfile.TemporaryFile() for _ in range(2)]
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Child(pid, streams)
    code = 1
    try:
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream.fileno(), number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        cache_folder.user_folder = lambda: Path("/nowhere")  # type: ignore[assignment]
        prepare()
        code = call()
        sys.stdout.flush()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            with contextlib.suppress(OSError, AttributeError, ValueError):  # gone, none, closed
                sys.stderr.flush()
        finally:
            os._exit(code)


def wait(child: Child, seconds: float = PATIENCE) -> Outcome:
    """The Outcome of a child; it is ended where it takes longer."""
    deadline, code = time.monotonic() + seconds, None
    while True:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() > deadline:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            break
        time.sleep(0.005)
    texts = []
    for stream in child.streams:
        stream.seek(0)
        texts.append(stream.read().decode("utf-8", "replace"))
        stream.close()
    return Outcome(code, *texts)


def wrong_end(done: Outcome, allowed: tuple[int, ...] = (0, 2)) -> str | None:
    """What is wrong with an Outcome: another exit code, a traceback, a refusal of several lines, unsafe characters."""
    last = (done.err.strip().splitlines() or [""])[-1]
    if done.code is None:
        return "it hangs"
    if "Traceback" in done.err or done.code not in allowed:
        return f"exit code {done.code}: {last}"
    if UNSAFE & set(done.out + done.err):
        return f"unsafe characters: {(done.out + done.err)[-200:]!r}"
    usage = done.err.startswith("Usage: ")
    if done.code == 2 and not usage and sum(line.startswith("error: ") for line in done.err.splitlines()) != 1:
        return f"no line that begins with error: {done.err!r}"
    if done.code == 2 and not usage and len(done.err.splitlines()[-1]) > 2000:
        return f"an error of {len(done.err)} characters"
    return None


def resumed(words: list[str], output: Path) -> Outcome:
    """Go on with a run, or begin it anew where nothing was trained."""
    done = in_child(["--resume", str(output), "--cache-dir", str(output.parent / "cache")])
    if done.code == 2 and ("begin it anew" in done.err or "not a run directory" in done.err):
        return in_child(words)
    return done


def difference(output: Path, expected: Any, more: bool = False) -> str | None:
    """What tells a finished run from what final_state() gave for another; None where nothing does.

    more: it may hold further files of arrays, which could not be removed.
    """
    try:
        arrays, lines = final_state(output)
    except OSError as error:
        return f"no finished run: {error}"
    names = expected[0] if more else {**expected[0], **arrays}
    others = [name for name in names if expected[0].get(name) != arrays.get(name)]
    if others:
        return f"other arrays: {[(name, name in expected[0], name in arrays) for name in others]}"
    return None if lines == expected[1] else f"other metrics: {len(lines)} steps"


def left_behind(folder: Path) -> list[str]:
    """Temporary files in a folder."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name.endswith(".tmp")]


def command(*words: str) -> list[str]:
    """The words that start the program in a process of its own."""
    return [sys.executable, str(ROOT / "train.py"), *words]
