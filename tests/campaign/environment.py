"""Odd environments: whatever a variable holds, a training ends with the same bits, or says in a line why it cannot."""

import os
import subprocess

from tests.campaign.program import PATIENCE, Outcome, begin, command, corpus_in, difference, in_child, wrong_end
from tests.campaign.trials import Trials
from tests.support.final_state import final_state

NUMBERS = ("", "0", "-1", "1", "2", "x", "1e3", "99999999999999999999", " 2 ", "٣")
FOLDERS = ("", "relative", "/nowhere/at/all", "/dev/null", "/proc", "~", "a\x1b[31mb", "/" + "x" * 300)
WORDS = ("", "x", "0", "1", "ü", "\udcff", "C", "C.UTF-8", "xx_YY.ascii", "cp1252", "nope", "on")
VARIABLES = {
    **dict.fromkeys(
        (
            "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "COLUMNS", "LINES",
            "PYTHONHASHSEED", "SLURM_NTASKS", "SLURM_PROCID", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK",
            "PMI_SIZE", "PMI_RANK", "WORLD_SIZE", "RANK", "LOCAL_RANK", "CUDA_VISIBLE_DEVICES", "SOURCE_DATE_EPOCH",
        ),
        NUMBERS,
    ),
    **dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "CUDA_HOME", "PWD"), FOLDERS),
    **dict.fromkeys(
        (
            "LANG", "LC_ALL", "LC_NUMERIC", "TZ", "TERM", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING", "PYTHONUTF8",
            "PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONWARNINGS", "PYTHONUNBUFFERED", "WAVE_IMPLEMENTATION",
            "WAVE_GRAPHS", "TOKENIZERS_PARALLELISM", "TQDM_DISABLE", "_WAVE_COMMAND", "HF_HUB_OFFLINE", "PIP_INDEX_URL",
        ),
        WORDS,
    ),
}  # fmt: skip
# With these the interpreter itself does not start, or other code computes.
OF_PYTHON = ("PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONOPTIMIZE", "PYTHONDEVMODE")


def environments(trials: Trials) -> None:
    """Train with one to three variables of odd values."""
    files, output = corpus_in(trials.folder / "corpus"), trials.folder / "work" / "run"
    output.parent.mkdir()
    assert in_child(begin(files, output)).code == 0
    expected = final_state(output)
    for number in trials.numbers():
        names = trials.rng.sample(list(VARIABLES), trials.rng.randint(1, 3))
        chosen = {name: trials.rng.choice(VARIABLES[name]) for name in names}
        output = trials.folder / f"work {number}" / "run"
        output.parent.mkdir()
        done = subprocess.run(
            command(*begin(files, output)), capture_output=True, cwd=output.parent, timeout=PATIENCE,
            env={**os.environ, **chosen},
        )  # fmt: skip
        ended = Outcome(done.returncode, *(text.decode("utf-8", "replace") for text in (done.stdout, done.stderr)))
        of_python = done.returncode == 1 and b"Fatal Python error" in done.stderr and set(names) & set(OF_PYTHON)
        problem = None if of_python else wrong_end(ended)
        if problem is None and done.returncode == 0:
            problem = difference(output, expected)
        if problem is None and done.returncode and output.exists():
            problem = f"left a folder: {[path.name for path in output.iterdir()]}"
        ended_how = "Python did not start" if of_python else "refused" if done.returncode else "the same bits"
        trials.expect(problem, repr(chosen), ended_how)
