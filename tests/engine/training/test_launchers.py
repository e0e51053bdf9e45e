"""Which launcher started a process, by its environment; without one nothing of MPI is imported."""

import os
import subprocess
import sys

import pytest

from engine.support.command import install_extra
from engine.training.launchers import Place, launched_ranks, place
from engine.training.reduce import ALONE
from tests.support.paths import ROOT

MPIEXEC = {"PMI_SIZE": "4", "PMI_RANK": "2", "MPI_LOCALRANKID": "1"}
SRUN = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, None),
        (MPIEXEC, Place("mpiexec", 4, 2, 1)),
        ({**MPIEXEC, "PMI_SIZE": "1"}, None),
        ({"PMI_SIZE": "4", "PMI_RANK": "2"}, Place("mpiexec", 4, 2, None)),
        (SRUN, Place("srun", 8, 5, 1)),
        ({**SRUN, **MPIEXEC}, Place("mpiexec", 4, 2, 1)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, None),  # within sbatch, before srun
        (
            {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            Place("mpirun", 2, 1, 1),
        ),
        ({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0"}, Place("torchrun", 2, 1, 0)),
        ({"WORLD_SIZE": "2"}, None),
        ({"WORLD_SIZE": "many", "RANK": "1"}, None),
    ],
)
def test_a_launcher_is_known_by_its_variables(environment, expected):
    assert place(environment) == expected


def program(code, **environment):
    """Exit code and standard error of a program in a process of its own."""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}
    )
    return process.returncode, process.stderr


def test_without_a_launcher_nothing_of_mpi_is_imported(monkeypatch):
    for name in (*MPIEXEC, *SRUN, "OMPI_COMM_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "engine.training.reduce_mpi", None)  # an import would fail
    with launched_ranks() as ranks:
        assert ranks is ALONE


@pytest.mark.parametrize("rank, line", [("0", "mpiexec started 4 ranks, but mpi4py is not installed"), ("2", "")])
def test_ranks_without_mpi4py_end_with_one_line(rank, line):
    """That of the root."""
    code = "import sys; sys.modules['mpi4py'] = None; import train; sys.exit(train.main(['--corpus', 'r8']))"
    returned, err = program(code, **{**MPIEXEC, "PMI_RANK": rank})
    assert returned == 2
    assert err.rstrip("\n") == (f"error: {line}: {install_extra('mpi')}" if line else "")


@pytest.mark.parametrize("rank", ["0", "2"])
def test_a_wrong_option_is_told_by_the_root_alone(rank):
    returned, err = program("import sys, train; sys.exit(train.main(['--nonsense']))", **{**MPIEXEC, "PMI_RANK": rank})
    assert returned == 2
    assert ("No such option '--nonsense'" in err) == (rank == "0") and (rank == "0" or not err)
