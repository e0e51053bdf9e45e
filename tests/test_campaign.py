"""A few attacks of each part of the campaign; all of them, for as long as one likes, with python -m tests.campaign."""

import os
import subprocess
import sys

import pytest

from tests.support.examples import if_thorough
from tests.support.mpi_runs import WHY_NOT
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="its children are forked")


def campaign(*words):
    command = [sys.executable, "-m", "tests.campaign", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize("most", [7, *if_thorough(100)])
def test_commands_killed_at_a_call_end_with_the_same_bytes(most):
    """Sweeps, studies, searches, downloads and exports, with their processes."""
    done = campaign("--part", "commands", "--minutes", 10, "--most", most)
    assert done.returncode == 0 and "ended with the same bytes" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("most", [6, *if_thorough(300)])
@pytest.mark.parametrize("part", ["calls", "space"])
def test_a_run_stopped_at_a_call_goes_on_to_the_same_bits(part, most):
    """Killed before a call that changes a file, or one whose call fails, at random calls of a run; thorough: at all."""
    done = campaign("--part", part, "--minutes", 10, "--most", most)
    assert done.returncode == 0 and "to the same bits" in done.stdout, done.stdout + done.stderr


def test_a_few_attacks_on_servers_find_nothing():
    for name in ("starlette", "latex2mathml"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install -e '.[explore]'")
    done = campaign("--part", "server", "--minutes", 5, "--most", 30)
    assert done.returncode == 0 and " 30 " in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
@pytest.mark.parametrize("most", [1, *if_thorough(30)])
def test_ranks_go_on_when_one_was_killed(most):
    done = campaign("--part", "ranks", "--minutes", 10, "--most", most)
    assert done.returncode == 0 and "resumed to the same bits" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("part, least", [("inputs", 30), ("fuzz", 1000), ("concurrent", 1)])
def test_a_few_attacks_find_nothing(part, least):
    done = campaign("--part", part, "--minutes", 5, "--most", least)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{least:,}" in done.stdout.splitlines()[-1]
