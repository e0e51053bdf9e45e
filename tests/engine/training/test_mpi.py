"""Trainings that mpiexec starts: the same bits on any number of ranks, and all ranks end when one does.

tests/engine/training/test_shards.py holds the same laws without MPI. The figures are those of a tiny corpus.
"""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from engine.arrays.backend import why_no_cuda
from tests.support.mpi_runs import WHY_NOT, ended, rank_of, start
from tests.train.conftest import arguments, files  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.slow]
ENDS_WITHIN = 15  # seconds


def left_in(path):
    """Checkpoints as bytes, and the metrics but for the clock's."""
    arrays = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*.safetensors")}
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return arrays, [{key: value for key, value in line.items() if key != "tokens_per_second"} for line in lines]


@pytest.fixture
def options(arguments, tmp_path):  # noqa: F811
    """A training in four shards with its own cache, which the first rank fills."""
    return [*arguments, "--cache-dir", tmp_path / "cache", "--set", "shards=4", "--set", "dropout=0.2"]


@pytest.fixture
def long_options(options):
    return [*options, "--epochs", "30", "--set", "patience=0", "--set", "checkpoint_seconds=0"]


def wait_for_epochs(path, process, epochs=2):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with_state = path / "checkpoints" / "last" / "state.json"
        if with_state.exists() and json.loads(with_state.read_text())["progress"]["epoch"] >= epochs:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {epochs} epochs: {ended(process, 1)}")


def test_checkpoints_are_the_same_on_any_number_of_ranks(tmp_path, options):
    """Byte for byte, and what is printed and measured is that of one process."""
    printed = {}
    for ranks in (0, 2, 4):
        code, printed[ranks], err = ended(start(ranks, [*options, "--output", tmp_path / str(ranks)]))
        assert (code, err) == (0, [])
        assert left_in(tmp_path / str(ranks)) == left_in(tmp_path / "0")
    result = json.loads((tmp_path / "4" / "result.json").read_text())
    assert result["ranks"] == 4
    figures = {
        ranks: [line.split("(")[0] for line in out.splitlines() if line.startswith(("test ", "validation "))]
        for ranks, out in printed.items()
    }
    assert len(figures[0]) == 3 and figures[2] == figures[4] == figures[0]
    assert len(re.findall("corpus train.tsv", printed[4])) == 1
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 1


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs the list of processes of Linux")
@pytest.mark.parametrize(
    "number, code",
    [
        (signal.SIGKILL, signal.SIGKILL),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.thorough),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.thorough),
    ],
)
def test_all_ranks_end_when_one_does_and_others_continue(tmp_path, long_options, number, code):
    """A rank is killed or told to stop; the run then goes on with another number of ranks, to the same bits."""
    path = tmp_path / "cut"
    process = start(2, [*long_options, "--output", path])
    wait_for_epochs(path, process)
    others = [rank_of(process, rank) for rank in range(2)]
    os.kill(others[1], number)
    began = time.monotonic()
    returned, _, err = ended(process, ENDS_WITHIN)
    assert time.monotonic() - began < ENDS_WITHIN and returned == code, err
    assert not any(Path(f"/proc/{pid}").exists() for pid in others)
    if number != signal.SIGKILL:
        assert err == [f"stopped by {number.name}: saved; continue with --resume {path}"]
    assert not (path / "result.json").exists()
    assert ended(start(4, ["--resume", path, "--cache-dir", tmp_path / "cache"]))[0] == 0
    assert ended(start(0, [*long_options, "--output", tmp_path / "whole"]))[0] == 0
    assert left_in(path) == left_in(tmp_path / "whole")


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("g++") is None, reason="kernels are emulated by g++")
def test_ranks_on_an_emulated_device_have_the_same_bits(tmp_path, options):
    """Their arrays go by way of the host, since they share a device, which a line of warning says."""
    program = ["-m", "tests.support.emulated_program", "train.py"]
    last = {}
    for ranks in (0, 2):
        command = [*options, "--device", "cuda", "--epochs", "1", "--output", tmp_path / str(ranks)]
        process = start(ranks, command, program=program, WAVE_EMULATION=str(tmp_path / "kernels"))
        code, _, err = ended(process, 600)
        assert code == 0, err
        assert any("gradients travel by way of the host" in line for line in err) == (ranks == 2)
        last[ranks] = left_in(tmp_path / str(ranks))
    assert last[2] == last[0]


FAILING = """
import sys, train
from engine.training import shards
from engine.training.launchers import place
update, steps = shards.update_in_shards, []
def failing(*arguments):
    steps.append(1)
    if len(steps) == 9 and place().rank == 1:
        {what}
    return update(*arguments)
from engine.training import trainer
trainer.update_in_shards = failing
sys.exit(train.main())
"""


@pytest.mark.parametrize(
    "what, code, line",
    [
        ("raise MemoryError('1 TiB')", 2, r"error: too little memory \(1 TiB\); lower the dimension.*"),
        pytest.param("raise SystemExit(7)", 7, None, marks=pytest.mark.thorough),
        pytest.param(
            "arguments[0].embedding.table.value[:] = float('nan')", 2,
            r"error: step 9: the loss is nan, first in network\.blocks.*", marks=pytest.mark.thorough,
        ),
    ],
)  # fmt: skip
def test_an_error_of_one_rank_ends_all_with_one_line(tmp_path, long_options, what, code, line):
    """And the run is saved as it was before the step of the error."""
    path = tmp_path / "run"
    command = ["-c", FAILING.format(what=what)]
    returned, _, err = ended(start(2, [*long_options, "--output", path], program=command))
    assert returned == code
    assert len(err) == (line is not None) and (line is None or re.fullmatch(line, err[0])), err
    state = json.loads((path / "checkpoints" / "last" / "state.json").read_text())
    assert state["step"] == (8 if "raise" in what else 7)


EARLY = """
import sys, train
from engine.commands import train as command
from engine.training.launchers import launched_ranks, place
def interrupted():
    if place().rank == 1:
        raise KeyboardInterrupt
    return launched_ranks()
command.launched_ranks = interrupted
sys.exit(train.main())
"""


def test_a_rank_that_is_interrupted_before_all_have_met(tmp_path, options):
    """It ends all, which would wait for it."""
    process = start(2, [*options, "--output", tmp_path / "run"], program=["-c", EARLY])
    code, _, err = ended(process, ENDS_WITHIN)
    assert code and "Traceback" not in "".join(err) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes, line",
    [
        (
            ["--set", "shards=3"],
            "error: shards: expected a multiple of the number of ranks, 2, got 3; start",
        ),
        pytest.param(
            ["--device", "cuda"],
            "error: --device cuda: ",
            marks=pytest.mark.skipif(why_no_cuda() is None, reason="a device is there"),
        ),
        (["--output", "{taken}"], "error: --output {taken}: holds something already"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, options, changes, line):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "config.toml").write_text("text")
    changes = [text.format(taken=taken) for text in changes]
    code, out, err = ended(start(2, [*options, *changes]))
    assert (code, len(err), out) == (2, 1, "")
    assert err[0].startswith(line.format(taken=taken))
