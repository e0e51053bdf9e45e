"""Files that are whole or absent: everything is written to a temporary name and renamed."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from engine.support.errors import UserError, first_line, require_utf8

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

AnyPath: TypeAlias = Path | str

STALE = 24 * 3600  # seconds, after which no process is taken to write a temporary file any more


def require_vacant(path: AnyPath, begun: str | None = None, option: str = "--output") -> None:
    """Raise UserError where something is at an output's path already.

    begun: name of the file that marks what can be continued, if anything can; what a process that was killed while it
    wrote that file has left does not count. option: named in the message.
    """
    path = Path(path)
    require_utf8(str(path), f"{option} {str(path)!r}", "choose another name")  # files in the folder name it
    if path.exists() and (not path.is_dir() or set(path.iterdir()) - set(leftovers(path, begun) if begun else ())):
        remedy = f"continue it with --resume {path}, or " if begun and (path / begun).exists() else ""
        raise UserError(f"{option} {path}: holds something already; {remedy}choose a new or empty folder")


def require_writable(path: AnyPath, option: str | None = None) -> None:
    """Raise UserError unless, as far as can be seen, a file can be written at `path`.

    option: named in the message where one gave the path.
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        given = path if option is None else f"{option} {path}"
        reason = (
            "it is a folder"
            if path.is_dir()
            else "its folder does not exist"
            if not path.parent.is_dir()
            else "its folder is read-only"
        )
        raise UserError(f"{given}: cannot be written ({reason}); choose a file in a folder that you may write to")


def write_whole(path: AnyPath, write: Callable[[Path], object]) -> None:
    """Call write(temporary path) beside `path`, then rename; temporary files of earlier days are removed.

    Where the writer raises OSError (disk full, no permission) the old file stays and a UserError names the file.
    """
    path = Path(path)
    if not path.name:
        raise UserError(f"{str(path)!r}: is no name of a file; give one")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write(temporary)
        with open(temporary, "r+b") as written:  # Windows syncs only what is open for writing
            os.fsync(written.fileno())
        os.replace(temporary, path)
        of_this_name = glob.glob(f".{glob.escape(path.name)}.????????.tmp", root_dir=path.parent)
        remove_stale(path.parent / name for name in of_this_name)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or first_line(error)}); free some space or choose another "
            "folder, what was saved before is intact"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_stale(paths: Iterable[Path]) -> None:
    """Remove files that nobody has written to for a day: those of processes that were killed."""
    for path in paths:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()


def leftovers(folder: AnyPath, name: str = "*") -> list[Path]:
    """The files that a killed process has left in a folder while it wrote one of this name.

    Always those of the safetensors library too, which earlier versions wrote with and whose names tell nothing.
    """
    return [*Path(folder).glob(f".{name}.*.tmp"), *Path(folder).glob(".tmp??????")]


def remove_leftovers(*folders: AnyPath) -> None:
    """Remove all leftovers() in folders that no other process writes into."""
    for left in (left for folder in folders for left in leftovers(folder)):
        with contextlib.suppress(OSError):
            left.unlink()


def write_text(path: AnyPath, text: str) -> None:
    """Write UTF-8 text."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: AnyPath, value: Any) -> None:
    """Write a value as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def parse_json(text: str | bytes | bytearray, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON text. ValueError for anything that is none, and for what Python cannot hold.

    parse_constant: takes NaN, Infinity or -Infinity, which are no JSON, and gives the value, by default Python's.
    """
    try:
        return json.loads(text, parse_constant=parse_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
            raise
        raise ValueError(beyond_python(error)) from None


def beyond_python(error: Exception) -> str:
    """Why JSON raised an error for which Python has no words that a user can use."""
    return "nested too deep" if isinstance(error, RecursionError) else "a number of thousands of digits"


def is_stream(path: AnyPath) -> bool:
    """Whether a path is that of a pipe or a device, which may be read once, never end, or give nothing for ever."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # which are for those to tell who open it
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def require_no_stream(path: AnyPath) -> None:
    """Raise OSError for what is_stream(), as open() does for a file that cannot be read."""
    if is_stream(path):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))


def read_text(path: AnyPath, encoding: str = "utf-8") -> str:
    """The text of a file. OSError, too, where it is none."""
    require_no_stream(path)
    return Path(path).read_text(encoding=encoding)


def read_json(path: AnyPath) -> dict[str, Any]:
    """Read a JSON object; UserError when it is missing or damaged."""
    try:
        value = parse_json(read_text(path))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; is this a run directory whose training has saved something?") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); restore the file or train again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, got {type(value).__name__}; restore the file or train again")
    return value


def read_toml(path: AnyPath) -> dict[str, Any]:
    """Read a TOML file, with or without a byte order mark, as a dict; UserError when it is missing or wrong."""
    try:
        values: dict[str, Any] = tomllib.loads(read_text(path, "utf-8-sig"))
        return values
    except FileNotFoundError:
        raise UserError(f"{path}: not found; give the path of an existing TOML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a UTF-8 TOML file") from error
    except (ValueError, RecursionError) as error:  # plain for a number of thousands of digits; nested too deep
        raise UserError(f"{path}: is not TOML ({error}); lines look like: epochs = 4") from error


def sha256_of(path: AnyPath) -> str:
    """Hexadecimal SHA-256 of a file. OSError, too, where it is none."""
    require_no_stream(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
