"""From settings to token ids: read the texts, split off validation, number the classes, tokenize."""

import hashlib
from typing import NamedTuple

import numpy as np

from engine.data.batching import split_validation, take
from engine.data.corpora import load_corpus
from engine.data.files import read_texts
from engine.data.texts import Corpus, class_names, encode_labels, require_two_classes
from engine.data.tokenizer import encode_texts, load_tokenizer, train_tokenizer
from engine.errors import UserError
from engine.ragged import RaggedBatch


class PreparedData(NamedTuple):
    """Splits as RaggedBatches (validation and test may be None), the tokenizer, the class names, and the corpus' name."""

    name: str
    train: RaggedBatch
    validation: RaggedBatch | None
    test: RaggedBatch | None
    tokenizer: object
    classes: list

    def fingerprint(self):
        """A digest of all token ids, offsets and labels: equal data continue a run bit for bit, other data must not."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for array in split or ():
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read_corpus(config, cache_dir=None):
    """(Corpus, notes) of a DataConfig: the texts and one line per file on what was read. UserError for bad input."""
    if not config.train_file:
        if config.validation_file or config.test_file:
            raise UserError("--validation-file and --test-file go with --train-file; give the training texts too, or none of the three")
        return load_corpus(config.corpus, cache_dir), []
    columns = {
        "text_columns": [name.strip() for name in config.text_columns.split(",")] if config.text_columns else None,
        "label_column": config.label_column or None,
    }
    splits, notes = {}, []
    for split in ("train", "validation", "test"):
        path = getattr(config, f"{split}_file")
        splits[split] = None
        if path:
            splits[split], note = read_texts(path, **columns)
            notes.append(f"{split}: {path}: {note}")
    require_two_classes(splits["train"])
    return Corpus("files", **splits), notes


def prepare(config, corpus, seed, tokenizer=None):
    """PreparedData of a DataConfig and its Corpus; `tokenizer` is given when a run is resumed."""
    classes = class_names(corpus.train)
    labels = encode_labels(corpus.train.labels, classes, corpus.train)
    if tokenizer is None:
        tokenizer = load_tokenizer(config.tokenizer) if config.tokenizer else train_tokenizer(corpus.train.texts, config.vocabulary_size)

    def encode(split):
        if split is None:
            return None
        numbers = labels if split is corpus.train else encode_labels(split.labels, classes, split)
        return RaggedBatch(*encode_texts(tokenizer, split.texts, config.max_tokens), numbers)

    train, validation = encode(corpus.train), encode(corpus.validation)
    if validation is None and config.validation_fraction:
        kept, held_out = split_validation(labels, config.validation_fraction, seed)
        train, validation = take(train, kept), take(train, held_out)
    return PreparedData(corpus.name, train, validation, encode(corpus.test), tokenizer, classes)
