"""The texts that settings name: of a corpus by name, or of files."""

import os
from collections.abc import Mapping
from typing import Any

from engine.data.config import DataConfig
from engine.data.corpora import known_corpus, load_corpus
from engine.data.files import TextFiles, read_texts
from engine.data.texts import Corpus, LabelledTexts, OpenCorpus, class_names, joined, require_classes
from engine.support.errors import UserError
from engine.support.files import AnyPath


def open_corpus(config: DataConfig, cache_dir: AnyPath | None = None) -> OpenCorpus:
    """The OpenCorpus of a DataConfig. UserError for files whose columns cannot be told."""
    if not config.train_file:
        require_training_file(config)
        corpus = load_corpus(config.corpus, cache_dir)
        return OpenCorpus(config.corpus, corpus.train, corpus.validation, corpus.test)
    paths = config.train_file, config.validation_file, config.test_file
    train, validation, test = (TextFiles(path, **columns_of(config)) if path else None for path in paths)
    assert train is not None
    return OpenCorpus(config.name(), train, validation, test)


def require_training_file(config: DataConfig) -> None:
    """UserError where there are files to validate or test on, but none to train on."""
    if config.validation_file or config.test_file:
        raise UserError(
            "--validation-file and --test-file go with --train-file; give the training texts too, or none of the three"
        )


def read_corpus(config: DataConfig, cache_dir: AnyPath | None = None) -> tuple[Corpus, list[str]]:
    """(Corpus, notes) of a DataConfig: the texts, and a line on each file that was read. UserError for bad input."""
    if not config.train_file:
        require_training_file(config)
        return load_corpus(config.corpus, cache_dir), []
    splits: dict[str, LabelledTexts] = {}
    notes = []
    name, *sources = open_corpus(config, cache_dir)
    for split, files in zip(("train", "validation", "test"), sources):
        if isinstance(files, TextFiles):
            texts = splits[split] = joined(files.blocks(), files.source)
            notes += [f"{split}: {files.source}: {files.note(len(texts))}", *files.warnings()]
    require_classes(class_names(splits["train"]), splits["train"].source, config.has_several_labels())
    return Corpus(name, **splits), notes


def columns_of(config: DataConfig) -> dict[str, Any]:
    """The columns of a DataConfig, and how its files are read, as arguments of read_texts()."""

    def names(columns: str) -> list[str] | None:
        return [name.strip() for name in columns.split(",")] if columns else None

    return {
        "text_columns": names(config.text_columns),
        "label_column": config.label_column or None,
        "label_columns": names(config.label_columns),
        "separator": config.label_separator if config.has_several_labels() else None,
        **{name: getattr(config, name) for name in ("encoding", "delimiter", "quotechar")},
    }


def for_other_file(config: DataConfig, path: AnyPath, changes: Mapping[str, str]) -> DataConfig:
    """The DataConfig that says how to read another file than those of a training.

    Its columns are those of the training, unless it is a folder, which has none; encoding, delimiter and quotes are
    told anew. changes: fields that are given for this file.
    """
    own = {"encoding": "", "delimiter": "", "quotechar": ""}
    if os.path.isdir(path):
        own |= {"text_columns": "", "label_column": "", "label_columns": ""}
    for given, other in (("label_column", "label_columns"), ("label_columns", "label_column")):
        if given in changes:
            own[other] = ""
    return config.replace(**{**own, **changes})


def read_test_texts(
    config: DataConfig, path: AnyPath | None = None, cache_dir: AnyPath | None = None
) -> tuple[LabelledTexts, str]:
    """(LabelledTexts, note) of the file `path`, or of the test texts of the run's own corpus."""
    if path:
        texts, note = read_texts(path, **columns_of(config))
        return texts, f"test: {path}: {note}"
    if not config.train_file:
        test = load_corpus(config.corpus, cache_dir).test
        assert test is not None  # all corpora by name have test texts
        return test, f"test texts of corpus {config.corpus}"
    if not config.test_file:
        raise UserError("this run was trained without test texts; give some with --test-file FILE")
    return read_test_texts(config, config.test_file, cache_dir)


def count_classes(config: DataConfig) -> int:
    """The number of classes of a DataConfig; only local files are read for it."""
    if config.train_file:
        return len(class_names(read_corpus(config)[0].train))
    return known_corpus(config.corpus).classes
