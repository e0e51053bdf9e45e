"""From settings to token ids: read the texts, split off validation, number the classes, learn a vocabulary, encode."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from engine.arrays.ragged import RaggedBatch
from engine.data.batching import split_validation
from engine.data.config import DataConfig
from engine.data.encoder import Encoder
from engine.data.files import TextFiles
from engine.data.label_sets import strata
from engine.data.learning import (
    BatchFiles,
    Log,
    batch_in,
    encode_rows,
    encode_source,
    learn_ngrams,
    learn_vocabulary,
    read_numbered,
)
from engine.data.notices import HashedSource, notices
from engine.data.pieces import CutWords
from engine.data.texts import (
    Corpus,
    LabelledTexts,
    OpenCorpus,
    TextSource,
    encode_label_sets,
    encode_labels,
    label_matrix,
    require_classes,
    sorted_names,
)
from engine.data.token_cache import TokenCache, digest
from engine.data.tokenizer import check_sentences, load_tokenizer
from engine.data.vocabulary import Vocabulary, load_vocabulary, save_vocabulary
from engine.support.files import AnyPath, sha256_of
from engine.types import Ints1d

SPLITS = ("train", "validation", "test")
WORDS = "words.npy"
VOCABULARY_FILES = ("tokenizer.json", "ngrams.safetensors", "affixes.json", "char_ngrams.json")
# Fields that are not in the key: of these files the content is, and vectors change no token id.
READ_FROM = ("corpus", "train_file", "validation_file", "test_file", "tokenizer", "vectors")


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
        for name in SPLITS:
            for part, array in zip(RaggedBatch._fields, getattr(self, name) or ()):
                if array is None:  # sentence_offsets: digests without are those of older versions
                    continue
                digest.update(f"{name} {part} {array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).reshape(-1).data)
        return digest.hexdigest()


def prepare(
    config: DataConfig,
    corpus: Corpus | OpenCorpus,
    seed: int,
    vocabulary: Vocabulary | None = None,
    cache_dir: AnyPath | None = None,
    sentences: bool = False,
    log: Log | None = None,
) -> PreparedData:
    """PreparedData of a DataConfig and its corpus; `vocabulary` is given when a run is resumed.

    cache_dir: where vocabularies and token ids are kept, by default the user's cache folder. The vocabulary and all
    that belongs to it is learned from the texts that are left for training: those held out are then as new to the
    network as any text that it will meet. sentences: whether a new vocabulary cuts texts into sentences; UserError
    where the tokenizer of the DataConfig hides their ends. log: takes a line on each file that was read, and on each
    phase that took long.
    """
    cache = TokenCache(cache_dir)
    tokenizer = None
    if vocabulary is not None:
        sentences = vocabulary.sentences
    elif config.tokenizer:
        tokenizer = load_tokenizer(config.tokenizer)
        if sentences:
            check_sentences(tokenizer, config.tokenizer)
    key = key_of(config, corpus, seed, sentences, vocabulary)
    kept = cache.find(key)
    if kept is not None:
        return load_prepared(config, corpus, *kept, vocabulary, sentences, log)
    with cache.begun() as folder:
        data, notes = prepare_in(folder, config, corpus, seed, tokenizer, vocabulary, sentences, log)
        save_vocabulary(data.vocabulary, *(folder / name for name in VOCABULARY_FILES))
        cache.keep(folder, key, {"classes": data.classes, "notes": notes})
    return data


def key_of(
    config: DataConfig, corpus: Corpus | OpenCorpus, seed: int, sentences: bool, vocabulary: Vocabulary | None
) -> str:
    """The digest of all that decides PreparedData."""
    sources = [source and source.digest() for source in (corpus.train, corpus.validation, corpus.test)]
    fields = {name: value for name, value in asdict(config).items() if name not in READ_FROM}
    given: tuple[object, ...] = ()
    if vocabulary is not None:
        hashes = b"" if vocabulary.ngrams is None else vocabulary.ngrams.hashes.tobytes()
        of_words = (vocabulary.affixes, vocabulary.char_ngrams)
        given = (vocabulary.tokenizer.to_str(), hashlib.sha256(hashes).hexdigest(), *of_words)
    elif config.tokenizer:
        given = (sha256_of(config.tokenizer),)
    return digest(sources, sorted(fields.items()), seed, sentences, given)


def load_prepared(
    config: DataConfig,
    corpus: Corpus | OpenCorpus,
    folder: Path,
    content: dict[str, Any],
    vocabulary: Vocabulary | None,
    sentences: bool,
    log: Log | None,
) -> PreparedData:
    """PreparedData that prepare_in() has written into a folder. content: its notes and classes."""
    if log is not None:
        for note in content["notes"]:
            log(note)
    if vocabulary is None:
        tokenizer, ngrams, affixes, characters = (folder / name for name in VOCABULARY_FILES)
        kinds = config.affixes, bool(config.char_ngrams)
        vocabulary = load_vocabulary(tokenizer, ngrams, affixes, characters, config.ngrams, *kinds, sentences)
    splits = {split: batch_in(folder, split) for split in SPLITS if (folder / f"{split}.ids.npy").exists()}
    return prepared(corpus, splits, vocabulary, content["classes"])


def prepared(
    corpus: Corpus | OpenCorpus, splits: dict[str, RaggedBatch], vocabulary: Vocabulary, classes: list[str]
) -> PreparedData:
    return PreparedData(corpus.name, splits["train"], splits.get("validation"), splits.get("test"), vocabulary, classes)


def prepare_in(
    folder: Path,
    config: DataConfig,
    corpus: Corpus | OpenCorpus,
    seed: int,
    tokenizer: Tokenizer | None,
    vocabulary: Vocabulary | None,
    sentences: bool,
    log: Log | None,
) -> tuple[PreparedData, list[str]]:
    """(PreparedData whose arrays are files in a folder, notes on the files that were read and notices)."""
    words = CutWords()
    train = HashedSource(corpus.train)
    texts, numbers, names = read_numbered(train, words.strings, sentences, folder / WORDS, log)
    notes = note_on("train", corpus.train, len(numbers), log)
    classes = sorted_names(names)
    several, sets = config.has_several_labels(), None
    require_classes(classes, corpus.train.source, several)
    if several:
        sets = label_matrix(names, classes)
        labels, drawn_by = numbers, strata(sets, numbers)
    else:
        places = {name: place for place, name in enumerate(classes)}
        labels = drawn_by = np.array([places[name] for name in names], np.int64)[numbers]
    rows: dict[str, Ints1d] = {"train": np.arange(len(labels))}
    if corpus.validation is None and config.validation_fraction:
        rows["train"], rows["validation"] = split_validation(drawn_by, config.validation_fraction, seed)

    of_tokens = None
    if vocabulary is None:
        vocabulary = learn_vocabulary(config, tokenizer, texts, rows["train"], words, log)
        vocabulary = vocabulary._replace(sentences=sentences)
        if config.ngrams > 1:
            of_tokens = Encoder(vocabulary._replace(affixes=None, char_ngrams=None), config.max_tokens, words)
            vocabulary = vocabulary._replace(ngrams=learn_ngrams(config, of_tokens, texts, rows["train"], log))
    encoder = Encoder(vocabulary, config.max_tokens, words, of_tokens)
    splits: dict[str, RaggedBatch] = {}
    cut, hashes = {}, {}
    for split in SPLITS:
        source = getattr(corpus, split)
        if split in rows:
            hashes[split] = train.hashes()[rows[split]]
            files = BatchFiles(folder, split, sentences, several)
            splits[split] = encode_rows(encoder, texts, labels, rows[split], files, log, sets)
        elif source is not None:
            hashed, files = HashedSource(source), BatchFiles(folder, split, sentences, several)
            splits[split] = encode_source(encoder, hashed, classes, files, log, several)
            hashes[split] = hashed.hashes()
            notes += note_on(split, source, len(splits[split].offsets) - 1, log)
        cut[split] = encoder.cut.take()
    (folder / WORDS).unlink()
    found = notices(config, vocabulary, classes, splits, cut, hashes, train.hashes())
    if log is not None:
        for notice in found:
            log(notice)
    return prepared(corpus, splits, vocabulary, classes), notes + found


def note_on(split: str, source: TextSource, count: int, log: Log | None) -> list[str]:
    """Lines on the files of a split that were read, for the log too; none for a corpus by name."""
    if not isinstance(source, TextFiles):
        return []
    notes = [f"{split}: {source.source}: {source.note(count)}", *(source.warnings() if split == "train" else [])]
    if log is not None:
        for note in notes:
            log(note)
    return notes


def encode_labelled(
    config: DataConfig, vocabulary: Vocabulary, classes: list[str], texts: LabelledTexts
) -> RaggedBatch:
    """RaggedBatch of LabelledTexts, as a trained run encodes them.

    UserError for a label that is not among its classes.
    """
    encode = encode_label_sets if config.has_several_labels() else encode_labels
    labels = encode(texts.labels, classes, texts)
    return encode_plain_texts(config, vocabulary, texts.texts)._replace(labels=labels)


def encode_plain_texts(config: DataConfig, vocabulary: Vocabulary, texts: Sequence[str]) -> RaggedBatch:
    """RaggedBatch without labels of a list of strings."""
    return Encoder(vocabulary, config.max_tokens).encode(texts)
