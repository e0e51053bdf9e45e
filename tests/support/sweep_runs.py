"""Sweeps of tiny trainings: their weights, and the command in a process of its own."""

import os
import subprocess
import sys
import time

from tests.support.paths import ROOT

SMALL = """
seeds = [0, 1]
[set]
train_file = "train.tsv"
test_file = "test.tsv"
dimension = 8
hidden = 8
epochs = 2
batch_size = 8
vocabulary_size = 200
threads = 1
[grid.change]
none = {}
"no dropout" = { token_dropout = 0.0, classifier_dropout = 0.0 }
"""


def weights(folder):
    """{run: bytes of its best and last weights and of its optimizer}."""
    return {
        run.name: [file.read_bytes() for file in sorted(run.rglob("*.safetensors"))]
        for run in sorted((folder / "runs").iterdir())
    }


def start(*arguments):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "train.py"), "sweep", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(condition, process=None):
    """Wait until condition(), as long as a process lives."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)
