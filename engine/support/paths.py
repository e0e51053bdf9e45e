"""Names of files that a user gives: one, a pattern, or several with commas between them."""

import glob
import os
from pathlib import Path

from engine.support.errors import UserError
from engine.support.files import AnyPath


def absolute(path: str, folder: AnyPath = "") -> str:
    """A path, a pattern, or several of them, from the root of the file system. folder: that relative ones are in."""
    whole = Path(folder, path)
    if whole.exists() or "," not in path:
        return str(whole.resolve())
    return ",".join(str(Path(folder, part).resolve()) for part in path.split(","))


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
