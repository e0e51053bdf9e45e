"""A run's folder: its files, and the lock that keeps it to one process at a time.

It holds config.toml, tokenizer.json, ngrams.safetensors, affixes.json, char_ngrams.json, vectors.safetensors,
metrics.jsonl, result.json, checkpoints/last and checkpoints/best; while the run is trained, also lock.
"""

import contextlib
import errno
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.support.command import command_name
from engine.support.errors import UserError
from engine.support.files import (
    AnyPath,
    leftovers,
    parse_json,
    read_toml,
    remove_leftovers,
    require_no_stream,
    require_vacant,
    write_text,
)
from engine.training.saved_result import read_result

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}  # errors of file systems without locks, which hinder nobody
ONNX_FILE = "model.onnx"  # of an exported folder, in the place of weights


@contextlib.contextmanager
def locked(path: Path, taken: str) -> Iterator[None]:
    """Within this context no other process has the lock of the file `path`, which is made for it and then removed.

    The lock vanishes with the process that holds it, however that ends. UserError with the text `taken` where another
    process has it, and where the file cannot be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(taken) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); see to the permissions of its folder, "
                "and that it exists"
            ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held, so that it is not the file of the next; Windows does it in release()
        lock.release()


class RunDirectory:
    """Paths and files of one run. Create a new one with create(), open an old one with open()."""

    def __init__(self, path: AnyPath) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.toml"
        self.vocabulary_files = (
            self.path / "tokenizer.json",
            self.path / "ngrams.safetensors",
            self.path / "affixes.json",
            self.path / "char_ngrams.json",
        )
        self.vectors_file = self.path / "vectors.safetensors"
        self.metrics_file = self.path / "metrics.jsonl"
        self.result_file = self.path / "result.json"
        self.onnx_file = self.path / ONNX_FILE
        self.lock_file = self.path / "lock"
        self.last = self.path / "checkpoints" / "last"
        self.best = self.path if self.is_exported() else self.path / "checkpoints" / "best"

    def is_exported(self) -> bool:
        """Whether it is an exported folder (engine/serving): weights beside config.toml, no checkpoints."""
        return (self.path / "state.json").exists()

    @classmethod
    def create(cls, path: AnyPath) -> "RunDirectory":
        """A new run directory, claimed by an empty config.toml. UserError where the path is taken or cannot be made."""
        cls(path).discard_killed_start()
        run = cls.require_vacant(path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            run.config_file.touch(exist_ok=False)  # claims the folder: of two runs that start at once only one passes
        except FileExistsError:
            raise UserError(
                f"--output {path}: another run has just begun there; choose a new or empty folder"
            ) from None
        except OSError as error:
            raise UserError(
                f"--output {path}: cannot be made ({error.strerror}); choose a folder that you may write to"
            ) from error
        return run

    @classmethod
    def require_vacant(cls, path: AnyPath) -> "RunDirectory":
        """The RunDirectory of a path where nothing is yet; UserError where something is."""
        run = cls(path)
        require_vacant(path, run.config_file.name)
        return run

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within this context no other process trains this run. What killed ones left half-written is removed.

        UserError where one does. A folder that is empty at the end is removed.
        """
        try:
            with locked(
                self.lock_file,
                f"{self.path}: another process is training this run; wait until it has ended, or stop it",
            ):
                remove_leftovers(self.path)
                yield
        finally:
            self.remove_if_empty()

    def wait_until_free(self, seconds: float) -> None:
        """Wait until no other process trains this run: one whose worker was lost may still be saving it.

        UserError where one does so for more than that many seconds; with 0 nothing is looked at.
        """
        deadline = time.monotonic() + seconds
        while seconds and self.lock_file.exists():
            try:
                with self.held():
                    return
            except UserError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def remove_if_empty(self) -> None:
        with contextlib.suppress(OSError):  # not empty
            self.path.rmdir()

    def discard(self) -> None:
        """Give up a claimed folder before anything has been trained.

        What somebody else put there stays, and the folder with it.
        """
        for file in self.files_of_a_start():
            file.unlink(missing_ok=True)
        self.remove_if_empty()

    def files_of_a_start(self) -> list[Path]:
        """The files that are written before anything is trained, and those that a killed process left of them."""
        files = (self.config_file, *self.vocabulary_files, self.vectors_file)
        return [*files, *(left for file in files for left in leftovers(self.path, file.name))]

    def discard_killed_start(self) -> None:
        """Give up a folder whose process was killed before anything was trained. UserError where it is alive."""
        if self.holds_only_a_start():
            with self.held():
                if self.holds_only_a_start():  # still
                    self.discard()

    def holds_only_a_start(self) -> bool:
        """Whether the folder was claimed, and settings were not written yet."""
        if not self.config_file.exists() or self.config_file.stat().st_size:
            return False
        return set(self.path.iterdir()) <= {self.lock_file, *self.files_of_a_start()}

    @classmethod
    def open(cls, path: AnyPath) -> "RunDirectory":
        """An existing run directory. UserError for anything else."""
        run = cls(path)
        if not run.config_file.is_file():
            what = (
                "has no config.toml"
                if run.path.is_dir()
                else "is not a folder"
                if run.path.exists()
                else "does not exist"
            )
            raise UserError(
                f"{path}: not a run directory ({what}); give a folder that {command_name()} has made, such as runs/…"
            )
        return run

    def write_config(self, sections: dict[str, dict[str, Any]]) -> None:
        """Write config.toml. sections: dict of dicts of plain values."""
        import tomli_w

        write_text(self.config_file, tomli_w.dumps(sections))

    def read_config(self) -> dict[str, Any]:
        """The sections of config.toml; UserError when it is damaged or lacks a section."""
        sections = read_toml(self.config_file)
        for name in ("run", "data", "network", "training"):
            if not isinstance(sections.get(name), dict):
                raise UserError(f"{self.config_file}: lacks the section [{name}]; restore the file or train again")
        return sections

    def result(self) -> dict[str, Any] | None:
        """The content of result.json, or None while the run is unfinished. UserError where it is damaged."""
        if not self.result_file.exists():
            return None
        return {**read_result(self.result_file), "run_directory": str(self.path)}  # it may have been moved since

    def has_checkpoint(self) -> bool:
        """Whether a state to continue from has been saved.

        A folder without state.json belongs to a run that was killed within its first save.
        """
        return (self.last / "state.json").exists()

    def has_begun(self) -> bool:
        """Whether anything has been trained: the folder holds lines of metrics or a checkpoint."""
        return self.metrics_file.exists() or self.last.parent.exists()

    def append_metrics(self, lines: list[dict[str, Any]]) -> None:
        """Append dicts to metrics.jsonl."""
        try:
            with open(self.metrics_file, "a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        except OSError as error:
            raise UserError(
                f"{self.metrics_file}: cannot be written ({error.strerror}); free some space, "
                f"then continue with --resume {self.path}"
            ) from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl as dicts, but for a last one that is cut short while the run is unfinished.

        UserError, which names the line, for a damaged one.
        """
        try:
            require_no_stream(self.metrics_file)
            *lines, rest = self.metrics_file.read_bytes().split(b"\n")
        except FileNotFoundError:
            raise UserError(
                f"{self.metrics_file}: not found; the run has trained no step yet, or the file must be restored"
            ) from None
        except OSError as error:
            raise UserError(
                f"{self.metrics_file}: cannot be read ({error.strerror}); restore the file or train again"
            ) from error
        if rest and self.result_file.exists():
            lines.append(rest)
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                value = parse_json(line)
            except ValueError as error:
                raise UserError(
                    f"{self.metrics_file}, line {number}: is no JSON ({error}); restore the file or train again"
                ) from None
            if not isinstance(value, dict):
                kind = type(value).__name__
                raise UserError(
                    f"{self.metrics_file}, line {number}: expected a JSON object, got {kind}; "
                    "restore the file or train again"
                )
            found.append(value)
        return found

    def cut_metrics(self, step: int) -> None:
        """Drop the lines of steps after `step`, and a last line that was cut short when the run was killed."""
        if not self.metrics_file.exists():
            return
        kept = []
        for line in self.metrics_file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if parse_json(line)["step"] > step:
                    break
            except (ValueError, KeyError, TypeError):
                break
            kept.append(line + "\n")
        write_text(self.metrics_file, "".join(kept))
