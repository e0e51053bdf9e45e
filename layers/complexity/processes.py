"""Measuring a model in a process of its own, line by line as it goes."""

import json
import subprocess
import sys
import tempfile
from typing import NamedTuple

from layers.benchmark.first_step import ROOT, failed
from layers.complexity.measurement import Measurement


class Setup(NamedTuple):
    """What all models are measured with. rate: FLOP/s of a matrix product; budget: most seconds of an update; threads: 0 for all."""

    device: str
    rate: float
    budget: float
    threads: int
    tokens: str


def measurements(model, texts, lengths, setup):
    """A Measurement for each length in ascending order, as soon as it is there. UserError where the process fails."""
    command = [sys.executable, "-m", "layers.complexity.measure", model, setup.device, str(texts), *map(str, lengths)]
    for name in ("rate", "budget", "threads", "tokens"):
        command += [f"--{name}", str(getattr(setup, name))]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT) as child:
            try:
                for line in child.stdout:
                    yield Measurement(**json.loads(line))
            except BaseException:  # nobody reads on
                child.kill()
                raise
        if child.returncode:
            errors.seek(0)
            raise failed(model, subprocess.CompletedProcess(command, child.returncode, stderr=errors.read()))
