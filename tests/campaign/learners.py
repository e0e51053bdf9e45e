"""Odd code in place of an exercise's backward, and odd files: the check ends with a verdict or with one line."""

import os
import re
import signal
import time
from pathlib import Path
from random import Random

from layers.experiments.exercises.table import EXERCISES
from tests.campaign.mutate import WORDS, bytes_changed
from tests.campaign.program import Outcome, start, wait, wrong_end

ENDLESS = 3  # seconds, after which a check is interrupted as by Ctrl-C
RIGHT = {
    "linear": "return dy @ cache[1].T, cache[0].T @ dy, dy.sum(axis=0)",
    "interference": "return dy, dy",
    "gelu": "return dy",
    "layer_norm": "return dy, dy, dy",
    "mean_pooling": "return dy",
    "dropout": "return dy",
}
ODD = [
    "raise SystemExit(0)", "raise SystemExit('x' * 5000)", "raise KeyboardInterrupt", "raise GeneratorExit",
    "raise ValueError('\\x1b[31m\\u202e\\ud800\\n' * 99)", "raise ExceptionGroup('g', [ValueError()])",
    "raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "raise type('E', (BaseException,), {'__str__': lambda self: None})()",
    "raise UnicodeDecodeError('a', b'', 0, 1, '')",
    "raise type('\\ud800\\x1b', (Exception,), {})('a')", "raise OSError", "raise MemoryError", "raise RecursionError",
    "return backward(dy, cache)", "return [backward] * 3", "return None", "return ()", "return dy, cache, backward",
    "return __import__('numpy').array(['a'] * 3)", "return (__import__('numpy').array([{}, None], object),) * 3",
    "return (__import__('numpy').ma.masked_all(dy.shape),) * 3", "return (__import__('numpy').matrix(dy),) * 3",
    "return (dy * float('nan'),) * 3", "return (dy * 1e308 * 10,) * 3", "return (dy.astype('f'),) * 3",
    "return (dy[..., None],) * 3", "return (dy * 1j,) * 3", "return iter((dy, dy))", "yield dy",
    "print('\\x1b[2J\\u202e\\ud800'); return dy", "print('x' * 10**6); return dy",
    "import sys; sys.stdout.write('\\0'); return dy", "import sys; sys.stdout.buffer.write(b'\\xff'); return dy",
    "import sys; sys.stdout.close(); return dy", "import sys; sys.stderr.write('noise\\n'); return dy",
    "import sys; sys.stdout = None; return dy", "import sys; sys.stderr = None; return dy",
    "import os; os.remove(__file__); return dy", "import os; os.chdir('/'); return dy", "import os; os.environ.clear()",
    "import os; os.close(1); return dy", "import os; os.kill(os.getpid(), 2)", 
    "import sys; sys.path.clear(); return dy",
    "import sys; sys.setrecursionlimit(60); return backward(dy, cache)", "import sys; sys.modules.pop('exercise')",
    "import warnings; warnings.warn('w' * 999); return dy", "import numpy; numpy.seterr(all='raise'); return dy / 0",
    "import threading; threading.Thread(target=print).start(); return dy", "assert False, dy",
    "cache[0][...] = 0", "dy[...] = 0; return dy", "dy.setflags(write=True); return dy", "del cache, dy; return dy",
    "while True: pass", "import time; time.sleep(10**6)", "exec('(' * 99)", "import nothing_of_this_name",
    "open('/nowhere/at/all')", "return eval('[' * 300)", "global forward; forward = None; return dy",
]  # fmt: skip
AT_TOP = [
    "forward = None", "backward = 1", "del forward", "__name__ = 5", "__doc__ = None", "import numpy as np; np = None",
    "class backward:\n    pass", "async def backward(dy, cache):\n    return dy", "\0", "\ud800", "\tindented",
    "# \x1b[31m",
    "from __future__ import nothing", "x = '" + "a" * 10**5 + "'", "(" * 500, "lambda: (yield)", "if 1:", "\x0c",
    "forward = lambda *a: (a[0], ())", "def backward(*given, **more): return given",
]  # fmt: skip


def odd_file(rng: Random, path: Path) -> list[str]:
    """Write an odd exercise; returns the words that check it."""
    name = rng.choice(list(RIGHT))
    body = rng.choice([*ODD, RIGHT[name]])
    text = re.sub(r"raise NotImplementedError\(.*\)", lambda _: body, EXERCISES[name].text())
    if rng.random() < 0.3:
        more = rng.choice([*AT_TOP, *(odd for odd in ODD if "return" not in odd and "yield" not in odd)])
        text = more + "\n" + text if rng.random() < 0.5 else text + "\n" + more + "\n"
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.3:
        data = bytes_changed(rng, data)
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    words = ["exercise", *([rng.choice([name, *WORDS, "linear"])] if rng.random() < 0.2 else []), "--check", str(path)]
    return [*words, *rng.sample(["--json", "--hint", "--output=x"], rng.choice((0, 0, 0, 1)))]


def odd_learner(rng: Random, folder: Path) -> tuple[str | None, str, str]:
    """Check an odd exercise in a child: (what is wrong, how to repeat it, the outcome)."""
    path = folder / "exercise.py"
    words = odd_file(rng, path)
    data = path.read_bytes()
    done = interrupted_late(words)
    problem = wrong_end(done, (0, 1, 2, 130))
    if problem is None and done.code == 130 and "stopped by SIGINT" not in done.err:
        problem = f"no word on the interrupt: {done.err!r}"
    outcome = {0: "taken", 1: "wrong gradient", 2: "refused", 130: "interrupted"}.get(done.code or 0, "found")
    return problem and f"{problem} {data!r}", str(words), f"exercise {outcome}"


def interrupted_late(words: list[str]) -> Outcome:
    """The Outcome of the command line in a child, which is interrupted as by Ctrl-C where it does not end."""
    child = start(words, lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    deadline = time.monotonic() + ENDLESS
    while time.monotonic() < deadline and not os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.005)
    if time.monotonic() >= deadline:
        os.kill(child.pid, signal.SIGINT)
    return wait(child)
