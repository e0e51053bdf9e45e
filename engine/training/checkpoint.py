"""Checkpoints: a folder of safetensors files and a state.json with their names and the progress of the run.

state.json is the commit point. Array files carry the step in their name and are written first; state.json, with the
name, size and SHA-256 of each, is then replaced in one rename, and only after that are older array files removed.
Whenever a run is killed, state.json names files that are whole. Never pickle.
"""

import contextlib
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays.array_file import write_arrays
from engine.arrays.mapped import DamagedFile, read_arrays
from engine.data.texts import shown
from engine.support.errors import UserError, first_line
from engine.support.files import AnyPath, read_json, remove_leftovers, write_json
from engine.support.text import sanitize
from engine.types import Array

FORMAT = 1


@dataclass
class Progress:
    """The progress of a run; all of it is saved in a checkpoint."""

    step: int = 0
    epoch: int = 0  # epochs finished
    batch: int = 0  # batches finished within the next epoch
    tokens: int = 0
    train_seconds: float = 0.0
    best_accuracy: float = -1.0
    best_micro_f1: float = -1.0  # where a text may have several labels
    best_macro_f1: float = -1.0
    best_loss: float = sys.float_info.max  # finite, so that state.json is plain JSON
    best_epoch: float = 0.0  # epochs that the best weights were trained; whole unless validated within one
    validations_without_gain: int = 0
    averaged: int = 0  # weights that the mean is of (averaging.py)
    best_averaged: int = 0  # weights that the best are the mean of; 0: those of the step

    def epochs(self, batches: int) -> float:
        """The number of epochs trained, of so many batches each: whole, or with a fraction within one."""
        return self.epoch + self.batch / batches if self.batch else self.epoch


@contextlib.contextmanager
def damaged(what: str) -> Iterator[None]:
    """Raise UserError about a part of a checkpoint where its reader raises anything else."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{what} is damaged ({first_line(error)}); restore the file or train again") from None


def progress_of(saved: dict[str, Any]) -> Progress:
    """The Progress saved in a checkpoint. TypeError or ValueError where it is damaged."""
    renamed = {"epochs_without_gain": "validations_without_gain"}  # by earlier versions, which had one an epoch
    progress = Progress(**{renamed.get(name, name): value for name, value in dict(saved).items()})
    for name, default in asdict(Progress()).items():
        value = getattr(progress, name)
        counts = isinstance(default, int)
        if isinstance(value, bool) or not isinstance(value, int if counts else (int, float)) or (counts and value < 0):
            raise TypeError(f"{name} cannot be {shown(value)}")
        if not abs(value) <= sys.float_info.max:
            raise ValueError(f"{name} cannot be {shown(value)}")
    if not 0 <= progress.best_epoch <= progress.epoch + 1:
        raise ValueError(f"best_epoch cannot be {shown(progress.best_epoch)}")
    return progress


def save_checkpoint(
    folder: AnyPath,
    step: int,
    state: dict[str, Any],
    arrays: dict[str, dict[str, Array]],
    twin: AnyPath | None = None,
) -> None:
    """Save into `folder` a JSON-able dict `state` and `arrays`: {"weights": dict[str, array], "optimizer": …}.

    twin: another checkpoint; its files are linked where they hold the same arrays of the same step.

    Raises UserError where a file cannot be written; the checkpoint that was there before is then intact.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); free some space, or see to its permissions"
        ) from error
    files = {}
    for kind, named in arrays.items():
        path = folder / f"{kind}-{step}.safetensors"
        linked = None if twin is None else link(Path(twin), kind, path)
        files[kind] = linked or {"name": path.name, **write_arrays(path, named)._asdict()}
    versions = {"format": FORMAT, "python": platform.python_version(), "numpy": np.__version__}
    write_json(folder / "state.json", {"step": step, "files": files, "versions": versions, **state})
    remove_others(folder, files)


def link(twin: Path, kind: str, path: Path) -> dict[str, Any] | None:
    """Make a file another name of that of a checkpoint; its entry in state.json, or None where that cannot be done."""
    with contextlib.suppress(OSError, UserError, KeyError, TypeError):
        entry: dict[str, Any] = read_json(twin / "state.json")["files"][kind]
        if entry["name"] == path.name:
            path.unlink(missing_ok=True)
            os.link(twin / path.name, path)
            return entry
    return None


def drop(folder: AnyPath, *kinds: str) -> None:
    """Remove arrays of a checkpoint. UserError where its state cannot be read or written."""
    folder = Path(folder)
    state = read_json(folder / "state.json")
    if [kind for kind in kinds if state["files"].pop(kind, None) is not None]:
        write_json(folder / "state.json", state)
    remove_others(folder, state["files"])


def remove_others(folder: Path, files: dict[str, dict[str, Any]]) -> None:
    """Remove array files that a checkpoint's state does not name, and the leftovers of killed processes."""
    names = {entry["name"] for entry in files.values()}
    remove_leftovers(folder)
    for old in folder.glob("*.safetensors"):
        if old.name not in names:
            with contextlib.suppress(OSError):
                old.unlink()


def load_checkpoint(folder: AnyPath, kinds: Iterable[str]) -> tuple[dict[str, Any], dict[str, dict[str, Array]]]:
    """(state, {kind: dict[str, NumPy array]}) of a saved checkpoint.

    UserError when it is missing, damaged or too new.
    """
    state, entries = read_state(folder, kinds)
    return state, {kind: load_arrays(*entry) for kind, entry in entries.items()}


def check_checkpoint(folder: AnyPath, kinds: Iterable[str]) -> dict[str, Any]:
    """The state of a saved checkpoint whose arrays are whole. UserError as of load_checkpoint()."""
    state, entries = read_state(folder, kinds)
    for entry in entries.values():
        load_arrays(*entry, mapped=True)
    return state


def read_state(folder: AnyPath, kinds: Iterable[str]) -> tuple[dict[str, Any], dict[str, tuple[Path, str]]]:
    """(state, {kind: (file, SHA-256)}) of a saved checkpoint. UserError as of load_checkpoint()."""
    folder = Path(folder)
    state = read_json(folder / "state.json")
    try:
        if state["versions"]["format"] > FORMAT:
            raise UserError(
                f"{folder / 'state.json'}: format {state['versions']['format']} is newer than this program's {FORMAT}; "
                "update the program"
            )
        entries = {kind: state["files"][kind] for kind in kinds}
        for entry in entries.values():
            if sanitize(entry["name"]) != entry["name"] or Path(entry["name"]).name != entry["name"]:
                raise TypeError("no name of a file in this folder")
        return state, {kind: (folder / entry["name"], entry["sha256"]) for kind, entry in entries.items()}
    except KeyError as error:
        raise UserError(f"{folder / 'state.json'}: lacks {error}; restore the file or train again") from None
    except TypeError:
        raise UserError(
            f"{folder / 'state.json'}: is damaged (its versions or its files are of another kind); "
            "restore the file or train again"
        ) from None


def load_arrays(path: Path, digest: str, mapped: bool = False) -> dict[str, Array]:
    """The arrays of a safetensors file whose SHA-256 must be `digest`. mapped: as in read_arrays()."""
    try:
        return read_arrays(path, digest, mapped)
    except DamagedFile as error:
        raise UserError(f"{path}: is damaged ({error}); restore the file or train again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}); restore the file or train again") from error


def load_weights(network: Any, weights: dict[str, Array], where: AnyPath) -> None:
    """Put arrays into a network's parameters and constants; UserError when names, shapes or dtypes do not match.

    `where` names the file.
    """
    parameters = network.state()
    for name in [*parameters, *weights]:
        if name not in weights or name not in parameters:
            place = "the checkpoint" if name not in weights else "the network of its config.toml"
            raise UserError(
                f"{where}: parameter {name} is missing in {place}; the checkpoint belongs to another network"
            )
        found, wanted = weights[name], parameters[name].value
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise UserError(
                f"{where}: parameter {name} has shape {found.shape} ({found.dtype}), "
                "the network of its config.toml needs "
                f"{wanted.shape} ({wanted.dtype}); the checkpoint belongs to another network"
            )
    for name, parameter in parameters.items():
        parameter.value = weights[name]
