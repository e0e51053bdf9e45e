"""The user's cache folder of wave-network: corpora, token ids, compiled functions, digests of files."""

import os
import stat
from pathlib import Path

import platformdirs

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def user_folder() -> str:
    """Its path, whether it exists or not."""
    return platformdirs.user_cache_dir("wave-network")


def is_own(path: Path) -> bool:
    """Whether nobody but this user and root can have written a file or folder. OSError where there is none."""
    status = path.stat(follow_symlinks=False)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return False
    return os.name == "nt" or (status.st_uid in (0, os.geteuid()) and not status.st_mode & OTHERS_WRITE)
