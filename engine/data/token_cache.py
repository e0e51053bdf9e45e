"""Token ids and vocabularies, kept between runs: the same texts are read and encoded once.

Each is a folder, named by a digest of all that decides what it holds (the texts, the settings, the library's version),
so that nothing here can be out of date. A file meta.json holds the digests of the others and its own. A folder that is
damaged, or that others may have written, in a cache that several share, is not used: it costs time, never a run.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tokenizers

from engine.support import cache_folder
from engine.support.cache_folder import OTHERS_WRITE, is_own
from engine.support.errors import UserError
from engine.support.files import AnyPath, read_json, sha256_of, write_json

KEPT_FOLDERS = 128
KEPT_BYTES = 20 * 2**30  # of all folders together
DEAD_AFTER = 86_400  # seconds, after which a folder that was begun has been left by a process that was killed
FORMAT = 4  # raise it when the same inputs give other tokens or notes
META = "meta.json"


class TokenCache:
    """The folder "tokens" of a cache folder; by default that of the user."""

    def __init__(self, cache_dir: AnyPath | None = None) -> None:
        self.folder = Path(cache_dir or cache_folder.user_folder()) / "tokens"

    def find(self, key: str) -> tuple[Path, dict[str, Any]] | None:
        """(folder, content as given to keep()) of what is kept under a key; None where it is not, or not intact."""
        folder = self.folder / key
        with contextlib.suppress(OSError, UserError, KeyError, TypeError, AttributeError):
            if not is_own(folder) or not is_own(folder / META):
                return None
            meta = read_json(folder / META)
            content, sums = meta["content"], meta["sums"]
            if meta["sum"] == digest(content, sums) and all(
                is_own(folder / name) and sha256_of(folder / name) == sum for name, sum in sums.items()
            ):
                os.utime(folder)  # so that it is not the next to be removed
                return folder, content
        return None

    @contextlib.contextmanager
    def begun(self) -> Iterator[Path]:
        """A new folder to write into: in this one, or where that may not be written, in that for temporary files.

        It is removed at the end, unless keep() has moved it. UserError where it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            folder = self.folder / f".{secrets.token_hex(8)}"
            folder.mkdir(mode=0o755)
        except OSError:
            folder = Path(tempfile.mkdtemp(prefix="wave-network-"))
        try:
            yield folder
        except OSError as error:
            remedy = "free some space, or name another folder (--cache-dir)"
            raise UserError(f"{folder}: cannot be written ({error.strerror or error}); {remedy}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, folder: Path, key: str, content: dict[str, Any]) -> None:
        """Keep a begun folder under a key, if this folder allows it. content: what JSON can hold, for find()."""
        if folder.parent != self.folder:
            return
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                path.chmod(path.stat().st_mode & ~OTHERS_WRITE)
            sums = {path.name: sha256_of(path) for path in folder.iterdir()}
            meta = {"content": content, "sums": sums, "sum": digest(content, sums)}
            write_json(folder / META, meta)
            kept = self.folder / key
            if kept.exists():  # damaged, or another process was faster
                kept.rename(folder / "replaced")
                shutil.rmtree(folder / "replaced", ignore_errors=True)
            folder.rename(kept)
            self.remove_oldest()

    def remove_oldest(self) -> None:
        """Remove the folders used longest ago, of too many or too large ones, and what killed processes left."""
        kept, size = 0, 0
        entries = sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in entries:
            if path.name.startswith("."):
                if time.time() - path.stat().st_mtime > DEAD_AFTER:
                    shutil.rmtree(path, ignore_errors=True)
                continue
            kept += 1
            size += sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size
            if kept > KEPT_FOLDERS or (kept > 1 and size > KEPT_BYTES):
                shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    path.unlink()


def digest(*parts: object) -> str:
    """Hexadecimal SHA-256 of texts and numbers, of their boundaries, and of the version of the tokenizer library."""
    sha = hashlib.sha256()
    for part in (FORMAT, tokenizers.__version__, *parts):
        data = str(part).encode("utf-8", "surrogatepass")
        sha.update(b"%d:" % len(data))
        sha.update(data)
    return sha.hexdigest()
