"""Names of files that a user gives: one, a pattern, or several with commas between them."""

import glob
import os

from engine.support.errors import UserError
from engine.support.files import AnyPath, is_stream


def absolute(path: str, folder: AnyPath = "") -> str:
    """A path, a pattern, or several of them, from the root of the file system. folder: that relative ones are in."""
    parts = [path] if os.path.exists(os.path.join(folder, path)) else path.split(",")
    wholes = [os.path.join(folder, part) for part in parts]
    # realpath() goes on where Path.resolve() fails, at links that lead in a circle; of a pipe it would make no name.
    return ",".join(os.path.abspath(whole) if is_stream(whole) else os.path.realpath(whole) for whole in wholes)


def names_of(path: str) -> list[str]:
    """The files that a path, a pattern, or several of them separated by commas name, each once."""
    if os.path.exists(path) or not any(sign in path for sign in ",*?["):
        return [path]
    names: list[str] = []
    for part in path.split(","):
        found = [part] if os.path.exists(part) or not glob.has_magic(part) else sorted(glob.glob(part, recursive=True))
        if not found:
            raise UserError(f"{part}: no file has a name like this; check the pattern")
        names += found
    return list(dict.fromkeys(names))
