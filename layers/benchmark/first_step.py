"""From `python train.py` to the end of the first training step, as somebody waits for it: a process of its own each time."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, time
import train
from engine.training.trainer import Trainer
step = Trainer.train_step
def first(self, batch):
    step(self, batch)
    print(time.time())
    raise KeyboardInterrupt
Trainer.train_step = first
train.main(sys.argv[1:])
"""


def seconds_to_first_step(*arguments):
    """Seconds from the start of a process `train.py train ARGUMENTS`, with what the cache folder holds by then."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, "train", "--json", "--output", str(Path(folder) / "run"), *arguments]
        started = time.time()
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    try:
        return float(done.stdout) - started
    except ValueError:
        raise failed("the first step", done) from None


def failed(what, done):
    """The UserError of a child process that measured nothing, with its last word."""
    last = ([line for line in done.stderr.splitlines() if line.strip()] or [f"it ended with code {done.returncode}"])[-1]
    return UserError(f"measuring {what} failed: {last.removeprefix('error: ')}")
