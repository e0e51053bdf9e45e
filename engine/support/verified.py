"""Large files whose SHA-256 has been verified are not read for it again, as long as their status is the same.

A file is known by its number, its size and the times of its last change to the nanosecond, as Git knows the files of a
work tree. The last file that had a digest is noted in the user's cache folder, under `verified`, which may be deleted.
On Windows nothing is noted: it has no time of a change that programs cannot set.
"""

import contextlib
import os
from pathlib import Path

from engine.support import cache_folder
from engine.support.errors import UserError
from engine.support.files import write_whole

SETTLED = 2.0  # seconds without a change: two changes within a tick of a file system's clock have the same time
KEPT = 100  # number of notes
# Faults of the disk, a digest that is none, no home folder.
FAILURES = (OSError, UserError, ValueError, TypeError, RuntimeError)


def is_verified(status: os.stat_result, digest: str) -> bool:
    """Whether a file of this status had this SHA-256."""
    try:
        note = note_of(digest)
        return cache_folder.is_own(note) and note.read_text(encoding="ascii") == identity(status)
    except FAILURES:
        return False


def note_verified(status: os.stat_result, seen: float, digest: str) -> None:
    """Note that a file has this SHA-256, unless that fails. status: of the time `seen`, before the file was read."""
    if os.name != "posix" or seen - max(status.st_mtime, status.st_ctime) < SETTLED:
        return
    with contextlib.suppress(*FAILURES):
        note = note_of(digest)
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if cache_folder.is_own(note.parent):
            write_whole(note, lambda temporary: write_private(temporary, identity(status)))
            for old in sorted(note.parent.glob("[!.]*"), key=lambda path: -path.stat().st_mtime)[KEPT:]:
                old.unlink()


def write_private(path: Path, text: str) -> None:
    """Write text that is_own() accepts, whatever the umask."""
    path.write_text(text, encoding="ascii")
    path.chmod(0o600)


def note_of(digest: str) -> Path:
    """Where the file of a digest is noted. ValueError or TypeError for what is no digest."""
    int(digest, 16)
    return Path(cache_folder.user_folder()) / "verified" / digest


def identity(status: os.stat_result) -> str:
    """The part of a status that no other file shares, nor this one once it has been changed."""
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
