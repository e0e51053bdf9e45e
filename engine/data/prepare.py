"""From settings to token ids: read the texts, split off validation, number the classes, tokenize."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.data.batching import split_validation, take
from engine.data.config import DataConfig
from engine.data.corpora import known_corpus, load_corpus
from engine.data.files import read_texts
from engine.data.ngrams import NGramVocabulary, learn_ngrams
from engine.data.texts import Corpus, LabelledTexts, class_names, encode_labels, require_two_classes
from engine.data.token_cache import TokenCache
from engine.data.tokenizer import check_sentences, load_tokenizer
from engine.data.vocabulary import CODERS, Vocabulary
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.types import Ints1d


class PreparedData(NamedTuple):
    """Splits as RaggedBatches (validation and test may be None), the vocabulary, the class names, the corpus' name."""

    name: str
    train: RaggedBatch
    validation: RaggedBatch | None
    test: RaggedBatch | None
    vocabulary: Vocabulary
    classes: list[str]

    def fingerprint(self) -> str:
        """A digest of all arrays of all splits: equal data continue a run bit for bit, other data must not."""
        digest = hashlib.sha256()
        for name in ("train", "validation", "test"):
            for part, array in zip(RaggedBatch._fields, getattr(self, name) or ()):
                if array is None:  # sentence_offsets: digests without are those of older versions
                    continue
                digest.update(f"{name} {part} {array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read_corpus(config: DataConfig, cache_dir: AnyPath | None = None) -> tuple[Corpus, list[str]]:
    """(Corpus, notes) of a DataConfig: the texts, and a line on each file that was read. UserError for bad input."""
    if not config.train_file:
        if config.validation_file or config.test_file:
            raise UserError(
                "--validation-file and --test-file go with --train-file; give the training texts too, "
                "or none of the three"
            )
        return load_corpus(config.corpus, cache_dir), []
    splits: dict[str, LabelledTexts] = {}
    notes = []
    for split in ("train", "validation", "test"):
        path = getattr(config, f"{split}_file")
        if path:
            splits[split], note = read_texts(path, **columns_of(config))
            notes.append(f"{split}: {path}: {note}")
    require_two_classes(splits["train"])
    return Corpus("files", **splits), notes


def columns_of(config: DataConfig) -> dict[str, Any]:
    """The columns of a DataConfig as arguments of read_texts()."""
    names = [name.strip() for name in config.text_columns.split(",")] if config.text_columns else None
    return {"text_columns": names, "label_column": config.label_column or None}


def prepare(
    config: DataConfig,
    corpus: Corpus,
    seed: int,
    vocabulary: Vocabulary | None = None,
    cache_dir: AnyPath | None = None,
    sentences: bool = False,
) -> PreparedData:
    """PreparedData of a DataConfig and its Corpus; `vocabulary` is given when a run is resumed.

    cache_dir: where trained vocabularies and token ids are kept, by default the user's cache folder. Vocabulary,
    n-grams and affixes are learned from the texts that are left for training: those held out are then as new to the
    network as any text that it will meet. sentences: whether a new vocabulary cuts texts into sentences; UserError
    where the tokenizer of the DataConfig hides their ends.
    """
    cache = TokenCache(cache_dir)
    classes = class_names(corpus.train)
    labels = encode_labels(corpus.train.labels, classes, corpus.train)
    kept: Ints1d = np.arange(len(labels))
    held_out = None
    if corpus.validation is None and config.validation_fraction:
        kept, held_out = split_validation(labels, config.validation_fraction, seed)
    texts_left = [corpus.train.texts[row] for row in kept.tolist()]
    if vocabulary is not None:
        tokenizer = vocabulary.tokenizer
    elif config.tokenizer:
        tokenizer = load_tokenizer(config.tokenizer)
        if sentences:
            check_sentences(tokenizer, config.tokenizer)
    else:
        tokenizer = cache.tokenizer(texts_left, config.vocabulary_size, config.tokens)

    known = vocabulary or Vocabulary(tokenizer, sentences=sentences)
    tokens = known.encode_tokens(corpus.train.texts, config.max_tokens, cache)
    if vocabulary is None:
        ngrams = ngrams_of(config, take(tokens, kept)) if config.ngrams > 1 else None
        vocabulary = known._replace(
            ngrams=ngrams, affixes=cache.learn_affixes(tokenizer, texts_left) if config.affixes else None
        )
    train = vocabulary.extended(tokens, corpus.train.texts, config.max_tokens, cache)._replace(labels=labels)
    validation, test = (
        None if split is None else encode_labelled(config, vocabulary, classes, split, cache_dir)
        for split in (corpus.validation, corpus.test)
    )
    if held_out is not None:
        train, validation = take(train, kept), take(train, held_out)
    return PreparedData(corpus.name, train, validation, test, vocabulary, classes)


def ngrams_of(config: DataConfig, batch: RaggedBatch) -> NGramVocabulary:
    """The NGramVocabulary of a RaggedBatch of training texts."""
    return learn_ngrams(batch.ids, batch.offsets, config.ngrams, config.ngram_frequency, config.ngram_vocabulary_size)


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


def encode_labelled(
    config: DataConfig,
    vocabulary: Vocabulary,
    classes: list[str],
    texts: LabelledTexts,
    cache_dir: AnyPath | None = None,
) -> RaggedBatch:
    """RaggedBatch of LabelledTexts, as a trained run encodes them.

    UserError for a label that is not among its classes.
    """
    labels = encode_labels(texts.labels, classes, texts)
    return encode_plain_texts(config, vocabulary, texts.texts, TokenCache(cache_dir))._replace(labels=labels)


def encode_plain_texts(
    config: DataConfig, vocabulary: Vocabulary, texts: Sequence[str], coders: Any = CODERS
) -> RaggedBatch:
    """RaggedBatch without labels of a list of strings. coders: as in Vocabulary.encode()."""
    return vocabulary.encode(texts, config.max_tokens, coders)


def count_classes(config: DataConfig) -> int:
    """The number of classes of a DataConfig; only local files are read for it."""
    if config.train_file:
        return len(class_names(read_corpus(config)[0].train))
    return known_corpus(config.corpus).classes
