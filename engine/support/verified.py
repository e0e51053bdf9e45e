"""Large files whose SHA-256 has been verified are not read for it again, as long as they are the same, unchanged files.

A file is known by its number, its size and the times of its last change to the nanosecond, as Git knows the files of a
work tree. What is noted lies in the user's cache folder, a small file for each digest, and may be deleted.
"""

import contextlib
import os
import time
from pathlib import Path

from engine.support import cache_folder
from engine.support.files import write_text

SETTLED = 2.0  # seconds since the last change: within a tick of the clock of a file system a second one has its time
KEPT = 100  # notes


def is_verified(status: os.stat_result, digest: str) -> bool:
    """Whether a file of this status had this SHA-256."""
    try:
        note = note_of(digest)
        return cache_folder.is_own(note) and note.read_text(encoding="ascii") == identity(status)
    except (OSError, ValueError, RuntimeError):  # the last: there is no home folder
        return False


def note_verified(status: os.stat_result, digest: str) -> None:
    """Note that a file, whose status was this before it was read, has this SHA-256. A note that fails is none."""
    if os.name != "posix" or time.time() - max(status.st_mtime, status.st_ctime) < SETTLED:
        return  # Windows has no time of the last change that programs cannot set
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        note = note_of(digest)
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if cache_folder.is_own(note.parent):
            write_text(note, identity(status))
            for old in sorted(note.parent.glob("[!.]*"), key=lambda path: -path.stat().st_mtime)[KEPT:]:
                old.unlink()


def note_of(digest: str) -> Path:
    """Where the file of a digest is noted. ValueError for what is no digest."""
    int(digest, 16)
    return Path(cache_folder.user_folder()) / "verified" / digest


def identity(status: os.stat_result) -> str:
    """What another file, or this one once it has been changed, does not share."""
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
