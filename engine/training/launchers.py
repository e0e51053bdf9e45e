"""Whether a launcher started this process as one of several ranks, and the ranks of a training.

Launchers tell by environment variables, which are read here and nowhere else. They only say whether there are other
ranks, and which of its machine this one is; everything else is asked of MPI. Without a launcher mpi4py is not imported.
"""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from engine.support.command import install_extra
from engine.support.errors import UserError

if TYPE_CHECKING:
    from engine.training.reduce import Alone

# (launcher, its variables of the number of ranks and of the rank), the most specific first: ranks of mpiexec within a
# Slurm job see Slurm's variables too, but those count the helpers that mpiexec started there.
LAUNCHERS = (
    ("mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("mpiexec", "PMI_SIZE", "PMI_RANK"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("torchrun", "WORLD_SIZE", "RANK"),
)
LOCAL_RANKS = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", "LOCAL_RANK")


class Place(NamedTuple):
    """One of `size` ranks that a launcher started. local_rank: among those of its machine; None where it is unknown."""

    launcher: str
    size: int
    rank: int
    local_rank: int | None


def place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """The Place of this process; None where it is the only one."""
    for launcher, *variables in LAUNCHERS:
        size, rank = (environment.get(name, "") for name in variables)
        if size.isdecimal() and rank.isdecimal() and int(size) > 1:
            local = next((environment[name] for name in LOCAL_RANKS if environment.get(name, "").isdecimal()), None)
            return Place(launcher, int(size), int(rank), None if local is None else int(local))
    return None


def speaks() -> bool:
    """Whether this process prints what all ranks would print alike."""
    found = place()
    return found is None or found.rank == 0


def end_all_by(number: int) -> None:
    """End by a signal where this process is one of several ranks that have not met yet, so that its launcher ends all.

    The others would wait for it in MPI's beginning, and an exit code tells a launcher nothing.
    """
    if place() is not None and "mpi4py.MPI" not in sys.modules:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


@contextmanager
def launched_ranks() -> Iterator["Alone"]:
    """The ranks that a launcher started, or ALONE; whatever ends one of them within this context ends all.

    Only one rank lets its exception out; the others end without a word, with its exit code. UserError without mpi4py,
    and where MPI does not find the ranks that the launcher started.
    """
    found = place()
    if found is None:
        from engine.training.reduce import ALONE

        yield ALONE
        return
    try:
        from engine.training.reduce_mpi import MpiRanks

        ranks = MpiRanks.world(found.local_rank)
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no library of MPI
        if found.rank:
            raise SystemExit(2) from None
        missing = isinstance(error, ImportError) and error.name == "mpi4py"
        why = " ".join(str(error).splitlines()[:1])
        reason = "mpi4py is not installed" if missing else f"mpi4py does not load ({why})"
        raise UserError(f"{found.launcher} started {found.size} ranks, but {reason}: {install_extra('mpi')}") from None
    if ranks.size != found.size:
        if found.rank:
            raise SystemExit(2)
        raise UserError(
            f"{found.launcher} started {found.size} ranks, but MPI finds {ranks.size}; start them by the mpiexec of "
            "the MPI library that mpi4py uses, or by srun --mpi=pmi2"
        )
    with ranks.ending_together():
        yield ranks
