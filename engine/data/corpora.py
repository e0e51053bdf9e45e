"""Corpora by name: their rows, read from a cache that is filled once."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.data.download import fetch_files
from engine.data.texts import Corpus, LabelledTexts, class_names
from engine.errors import UserError

HEADER_LINES = 3


@dataclass(frozen=True)
class CorpusFiles:
    """Where a corpus lies and what it must hold: file names, numbers of rows, number of classes."""

    train_file: str
    train_rows: int
    test_file: str
    test_rows: int
    classes: int
    description: str


CORPORA = {
    "r8": CorpusFiles(
        "reuters-r8-train.tab", 5485, "reuters-r8-test.tab", 2189, 8, "Reuters-21578 newswire, the 8 largest single topics"
    ),
    "r52": CorpusFiles(
        "reuters-r52-train.tab", 6532, "reuters-r52-test.tab", 2568, 52, "Reuters-21578 newswire, 52 single topics, very uneven"
    ),
    "20ng": CorpusFiles(
        "20newsgroups-train.tab", 11293, "20newsgroups-test.tab", 7528, 20, "20 Newsgroups, posts by newsgroup, split by date"
    ),
}


def known_corpus(name):
    """The CorpusFiles of a name; UserError for an unknown one."""
    if name not in CORPORA:
        raise UserError(f"corpus {name!r} is unknown: use one of {', '.join(CORPORA)}, or a file of your own (--train-file)")
    return CORPORA[name]


def load_corpus(name, cache_dir=None):
    """The Corpus of one of the names in CORPORA, with training and test texts; fetched at first use (38 MB).

    cache_dir: folder to keep the files in, by default the user's cache folder of wave-network.
    Raises UserError for an unknown name, a failed download, a cache that cannot be written and a damaged file in it.
    """
    corpus = known_corpus(name)
    folder = Path(cache_dir or platformdirs.user_cache_dir("wave-network")) / "corpora"
    if not all(os.path.isfile(folder / file) for file in (corpus.train_file, corpus.test_file)):
        fetch_files(folder, [file for files in CORPORA.values() for file in (files.train_file, files.test_file)])
    train = read_rows(folder / corpus.train_file, corpus.train_rows, corpus.classes)
    test = read_rows(folder / corpus.test_file, corpus.test_rows, corpus.classes)
    return Corpus(name, train, test=test)


def read_rows(path, expected_rows, expected_classes):
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
    data = LabelledTexts(texts, labels, str(path), lines)
    if len(data) != expected_rows:
        raise damaged(path, f"it holds {len(data)} rows instead of {expected_rows}")
    if len(class_names(data)) != expected_classes:
        raise damaged(path, f"it holds {len(class_names(data))} classes instead of {expected_classes}")
    return data


def damaged(path, reason):
    return UserError(f"{path}: the cached file is damaged, {reason}; delete it and run again to fetch it anew")
