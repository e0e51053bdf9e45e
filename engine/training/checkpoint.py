"""Checkpoints: a folder of safetensors files and a state.json that names them.

state.json is the commit point. Array files carry the step in their name and are written first; state.json, with the
name, size and SHA-256 of each, is then replaced in one rename, and only after that are older array files removed.
Whenever a run is killed, state.json names files that are whole. Never pickle.
"""

import contextlib
import platform
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from engine.arrays.backend import to_host
from engine.support.errors import UserError
from engine.support.files import read_json, sha256_of, write_json, write_whole

FORMAT = 1


def save_checkpoint(folder, step, state, arrays):
    """Save into `folder` a JSON-able dict `state` and `arrays`: {"weights": dict[str, array], "optimizer": …}.

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
        host = {name: np.ascontiguousarray(to_host(array)).reshape(array.shape) for name, array in named.items()}
        write_whole(
            path,
            lambda temporary, host=host: safetensors.numpy.save_file(host, temporary),
            failures=(OSError, safetensors.SafetensorError),
        )
        files[kind] = {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    versions = {"format": FORMAT, "python": platform.python_version(), "numpy": np.__version__}
    write_json(folder / "state.json", {"step": step, "files": files, "versions": versions, **state})
    current = {entry["name"] for entry in files.values()}
    for old in [
        *folder.glob("*.safetensors"),
        *folder.glob(".*.tmp"),
    ]:  # what a killed process was writing stays as .tmp
        if old.name not in current:
            with contextlib.suppress(OSError):
                old.unlink()


def load_checkpoint(folder, kinds):
    """(state, {kind: dict[str, NumPy array]}) of a saved checkpoint.

    UserError when it is missing, damaged or too new.
    """
    folder = Path(folder)
    state = read_json(folder / "state.json")
    try:
        if state["versions"]["format"] > FORMAT:
            raise UserError(
                f"{folder / 'state.json'}: format {state['versions']['format']} is newer than this program's {FORMAT}; "
                "update the program"
            )
        entries = {kind: (folder / state["files"][kind]["name"], state["files"][kind]["sha256"]) for kind in kinds}
    except KeyError as error:
        raise UserError(f"{folder / 'state.json'}: lacks {error}; restore the file or train again") from None
    except TypeError:
        raise UserError(
            f"{folder / 'state.json'}: is damaged (its versions or its files are of another kind); "
            "restore the file or train again"
        ) from None
    return state, {kind: load_arrays(path, digest) for kind, (path, digest) in entries.items()}


def load_arrays(path, digest):
    """The arrays of a safetensors file whose SHA-256 must be `digest`."""
    try:
        if sha256_of(path) != digest:
            raise UserError(
                f"{path}: is damaged (its SHA-256 is not the one in state.json); restore the file or train again"
            )
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: cannot be read ({error}); restore the file or train again") from error


def load_weights(network, weights, where):
    """Put arrays into a network's parameters; UserError when names, shapes or dtypes do not match.

    `where` names the file.
    """
    parameters = network.parameters()
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
