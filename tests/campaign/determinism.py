"""One seed, one result: in another folder, locale or time zone, with other hashes, on fewer cores, for any threads."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.program import PATIENCE, begin, command, corpus_in, difference, in_child, wrong_end
from tests.campaign.trials import Trials
from tests.support import thread_runs
from tests.support.final_state import final_state

NETWORKS = {
    "recommended": [],
    "quick": ["--preset", "quick"],
    "dropout": ["--preset", "quick", "--set", "dropout=0.2", "--operation", "interference"],
    "transformer": ["--model", "transformer", "--set", "heads=2", "--set", "max_tokens=32"],
    "shards": ["--set", "shards=2"],
    "two threads": ["--set", "threads=2"],
}
BESIDE = "one thread beside two"
OF_WAVES = {"averaging", "char_ngrams", "token_dropout", "ngrams"}
AROUND: dict[str, dict[str, str]] = {
    "as before": {},
    "another locale": {"LC_ALL": "C", "LANG": "tr_TR.UTF-8"},
    "another time zone": {"TZ": "Pacific/Kiritimati"},
    "other hashes": {"PYTHONHASHSEED": "12345"},
    "no assertions": {"PYTHONOPTIMIZE": "2"},
    "threads of OpenMP": {"OMP_NUM_THREADS": "2", "RAYON_NUM_THREADS": "1"},
}


def repetitions(trials: Trials) -> None:
    """Repeat trainings in other surroundings."""
    files = corpus_in(trials.folder / "corpus")
    elsewhere = trials.folder / "elsewhere"
    elsewhere.mkdir()
    expected: dict[str, Any] = {}
    ways = [(network, around) for network in NETWORKS for around in [*AROUND, "another folder", "one core"]]
    ways += [(network, BESIDE) for network in thread_runs.NETWORKS]
    wide = thread_runs.write_texts(elsewhere)
    trials.rng.shuffle(ways)
    for number in trials.numbers():
        network, around = ways[number % len(ways)]
        if around == BESIDE:
            problem = one_beside_two([*wide, *thread_runs.NETWORKS[network]], trials.folder)
            trials.expect(problem, f"{network}, {around}", "two threads apart by rounding")
            continue
        if network not in expected:
            expected[network] = trained(files, trials.folder / f"first {network}", network, {}, trials.folder, None)
        folder = elsewhere if around == "another folder" else trials.folder
        output = trials.folder / f"run {number}"
        core = one_core if around == "one core" and hasattr(os, "sched_setaffinity") else None
        found = trained(files, output, network, AROUND.get(around, {}), folder, core)
        problem = found if isinstance(found, str) else difference(output, expected[network])
        trials.expect(problem, f"{network}, {around}", "the same bits")


def one_beside_two(words: list[str], folder: Path) -> str | None:
    """Train with one thread and with two; what is wrong, None where nothing but rounding tells them apart."""
    outputs = [folder / f"{threads} of BLAS" for threads in (1, 2)]
    for threads, output in enumerate(outputs, start=1):
        shutil.rmtree(output, ignore_errors=True)
        done = in_child([*words, "--set", f"threads={threads}", "--output", str(output)])
        if done.code:
            return wrong_end(done, (0,))
    found = thread_runs.difference_of(*outputs)
    return None if all(found[name] <= most for name, most in thread_runs.MOST.items()) else f"far apart: {found}"


def one_core() -> None:
    """Leave this process one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def trained(
    files: dict[str, Path],
    output: Path,
    network: str,
    variables: dict[str, str],
    folder: Path,
    prepare: Callable[[], None] | None,
) -> Any:
    """The final state of a run in a process of its own; text where it fails."""
    words = begin(files, output, *NETWORKS[network])
    if network == "transformer":
        words = without(words, OF_WAVES)
    environment = {**os.environ, **variables}
    if "threads" in network:
        environment.pop("OPENBLAS_NUM_THREADS", None)
    done = subprocess.run(
        command(*words), capture_output=True, text=True, cwd=folder, env=environment, preexec_fn=prepare,
        timeout=PATIENCE, errors="replace",
    )  # fmt: skip
    return final_state(output) if done.returncode == 0 else done.stderr


def without(words: list[str], fields: set[str]) -> list[str]:
    """The words without --set of some fields."""
    pairs = list(zip(words[::2], words[1::2]))
    return [word for pair in pairs for word in pair if pair[1].partition("=")[0] not in fields]
