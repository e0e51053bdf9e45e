"""One rank of a training that mpiexec started is killed or told to stop; the run goes on with other ranks."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.campaign.program import Outcome, begin, corpus_in, difference, left_behind, wrong_end
from tests.campaign.trials import Trials
from tests.support.final_state import final_state
from tests.support.mpi_runs import WHY_NOT, ended, rank_of, start

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SIZES = (0, 2, 4)  # numbers of ranks; 0: a process without mpiexec
WITHIN = 30  # seconds, after which ranks outlive one that was killed
MOST_KILLS = 3  # of one training


def killed_ranks(trials: Trials) -> None:
    """Kill a rank at a random moment, up to three times; the training must end with the bits of one process."""
    if WHY_NOT:
        trials.outcomes[f"not attacked, {WHY_NOT}"] = 0
        return
    files, output = corpus_in(trials.folder / "corpus"), trials.folder / "work" / "run"
    output.parent.mkdir()
    words = begin(files, output, "--set", "shards=4", "--set", "dropout=0.2", "--epochs", "6")
    assert outcome(start(0, words)).code == 0
    expected = final_state(output)
    for _ in trials.numbers():
        shutil.rmtree(output.parent)
        output.parent.mkdir()
        problem, kills = None, list[str]()
        for _ in range(trials.rng.randint(1, MOST_KILLS)):
            size, number = trials.rng.choice(SIZES[1:]), trials.rng.choice(SIGNALS)
            rank, moment = trials.rng.randrange(size), trials.rng.uniform(0.3, 5.0)
            process = start(size, going_on(words, output))
            time.sleep(moment)
            if not hit(process, rank, number):
                problem = problem or wrong_end(outcome(process), (0, 2))
                break
            kills.append(f"{number.name} to rank {rank} of {size} after {moment:.2f} s")
            problem = problem or wrong_stop(process)
        size = trials.rng.choice(SIZES)
        problem = problem or wrong_end(outcome(start(size, going_on(words, output))), (0,))
        problem = problem or difference(output, expected)
        if problem is None and (left := left_behind(output)):
            problem = f"left {left}"
        what = f"{'; '.join(kills) or 'nothing killed'}; resumed on {size or 1}"
        trials.expect(problem, what, f"killed {len(kills)} times, resumed to the same bits")


def going_on(words: list[str], output: Path) -> list[str]:
    """The words that go on with a run, or begin it where it has none."""
    config = output / "config.toml"
    if config.exists() and config.stat().st_size:
        return ["--cache-dir", str(output.parent / "cache"), "--resume", str(output)]
    return words


def hit(process: "subprocess.Popen[str]", rank: int, number: int) -> bool:
    """Whether a rank was there to take a signal."""
    try:
        os.kill(rank_of(process, rank), number)
    except (AssertionError, ProcessLookupError):  # not begun, or over
        return False
    return True


def wrong_stop(process: "subprocess.Popen[str]") -> str | None:
    """Name the fault in the end of ranks one of which was killed, None for none."""
    try:
        done = outcome(process, WITHIN)
    except subprocess.TimeoutExpired:
        return "the other ranks live on"
    return f"a traceback: {done.err[-300:]!r}" if "Traceback" in done.err else None


def outcome(process: "subprocess.Popen[str]", seconds: float = 120) -> Outcome:
    """The Outcome of ranks."""
    code, out, lines = ended(process, seconds)
    return Outcome(code, out, "\n".join(lines))
