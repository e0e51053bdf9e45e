"""Kills at random moments: of a training, several times over, and of a sweep with its runs."""

import os
import shutil
import signal
import subprocess
import time

from tests.campaign.program import begin, command, corpus_in, difference, resumed, start, wait, wrong_end
from tests.campaign.trials import Trials
from tests.support.final_state import final_state
from tests.support.sweep_runs import SMALL as SWEEP

MOST_KILLS = 6  # of one training
EVERY = 12  # trials, one is a sweep


def kills(trials: Trials) -> None:
    """Kill trainings, and now and then a sweep, again and again; they must end with the bits of one left alone."""
    files, output = corpus_in(trials.folder / "corpus"), trials.folder / "work" / "run"
    output.parent.mkdir()
    words = begin(files, output, "--epochs", "12")
    began = time.monotonic()
    assert wait(start(words)).code == 0
    took, expected = time.monotonic() - began, final_state(output)
    sweep = Sweep(trials)
    for number in trials.numbers():
        if number % EVERY == EVERY - 1:
            sweep.kill()
            continue
        shutil.rmtree(output.parent)
        output.parent.mkdir()
        count, following = 0, words
        while count < MOST_KILLS:
            child = start(following)
            time.sleep(trials.rng.uniform(0, 1.1 * took))
            os.kill(child.pid, signal.SIGKILL)
            done = wait(child)
            if done.code != -signal.SIGKILL:
                break
            count += 1
            following = ["--resume", str(output), "--cache-dir", str(output.parent / "cache")]
            if not (output / "config.toml").exists() or not (output / "config.toml").stat().st_size:
                following = words
        problem = wrong_end(done) if done.code not in (0, -signal.SIGKILL) else None
        problem = problem or wrong_end(resumed(words, output), (0,)) or difference(output, expected)
        trials.expect(problem, f"training killed {count} times", "training resumed to the same bits")


class Sweep:
    """A small sweep that is killed and resumed."""

    def __init__(self, trials: Trials) -> None:
        self.trials, self.file, self.expected = trials, trials.folder / "corpus" / "sweep.toml", None
        self.file.write_text(SWEEP)

    def run(self, *words: str, seconds: float = 120) -> int:
        """The exit code of the sweep; it is killed after so many seconds."""
        cache = ["--cache-dir", str(self.trials.folder / "cache")]
        try:
            return subprocess.run(command("sweep", *words, *cache), capture_output=True, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL

    def kill(self) -> None:
        whole, cut = self.trials.folder / "whole", self.trials.folder / "cut"
        if self.expected is None:
            began = time.monotonic()
            assert self.run(str(self.file), "--output", str(whole)) == 0
            self.took = time.monotonic() - began
            self.expected = {path.name: final_state(path) for path in (whole / "runs").iterdir()}
        shutil.rmtree(cut, ignore_errors=True)
        moment = self.trials.rng.uniform(0.5, self.took)
        self.run(str(self.file), "--output", str(cut), seconds=moment)
        time.sleep(0.5)  # its runs notice and save
        words = ["--resume", str(cut)] if (cut / "sweep.toml").exists() else [str(self.file), "--output", str(cut)]
        code = self.run(*words)
        problem = f"exit code {code}" if code else None
        for name, state in self.expected.items():
            problem = problem or difference(cut / "runs" / name, state)
        self.trials.expect(problem, f"sweep killed after {moment:.2f} s", "sweep resumed to the same bits")
