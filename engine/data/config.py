"""The settings of the data that a network learns from, as one frozen, validated dataclass."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from engine.support.errors import UserError
from engine.support.settings import Settings, setting
from engine.support.text import sanitize

LABELS = ("one", "several")
DIGITS = re.compile("[0-9]{1,2}")
LONGEST = 12  # characters of an n-gram
NAME_CHARACTERS = 60  # of a corpus of files
TOKENS = ("wordpieces", "words")  # token types of a learned vocabulary


@dataclass(frozen=True)
class DataConfig(Settings):
    """A corpus by name or local files, and how texts become token ids. Empty text means: not given."""

    corpus: str = setting("r8", "corpus by name, as the command corpora lists them; empty beside a train_file")
    train_file: str = setting(
        "",
        "labelled training texts: CSV, TSV, JSON, fastText or parquet, also gzip or zip; a folder with a folder or a "
        "file per class; a pattern, or several files with commas between",
    )
    validation_file: str = setting("", "labelled texts that choose the best epoch")
    test_file: str = setting("", "labelled texts that are only measured at the end")
    text_columns: str = setting(
        "", "columns of the text by name or position from 1, separated by commas; guessed if empty"
    )
    label_column: str = setting("", "column of the label by name or position from 1; guessed if empty")
    encoding: str = setting("", "encoding of the files, such as cp1252 or utf-16; UTF-8 if empty")
    delimiter: str = setting(
        "", "character between the columns of CSV, or comma, semicolon, tab, bar; told by the content if empty"
    )
    quotechar: str = setting("", 'character around cells of CSV; " if empty, none where quotes are ordinary characters')
    labels: str = setting(
        "one", "labels of a text: one, or several and none too, each class a decision of its own", choices=LABELS
    )
    label_separator: str = setting(
        ",", "what stands between the labels of a text, where it may have several; a JSON list needs none"
    )
    label_columns: str = setting(
        "", "columns of 0 and 1, by name or position, separated by commas: a label each, where a text may have several"
    )
    tokenizer: str = setting(
        "", "existing tokenizer.json or BERT vocab.txt; empty learns a vocabulary from the training texts"
    )
    vectors: str = setting(
        "", "file of word vectors for the initial embeddings: .vec, GloVe's .txt, .bin or .safetensors, also .gz"
    )
    tokens: str = setting(
        "wordpieces",
        "token type of the learned vocabulary: words, all others are unknown, or wordpieces, into which others fall",
        choices=TOKENS,
    )
    vocabulary_size: int = setting(20000, "largest size of the trained vocabulary", minimum=5, maximum=10_000_000)
    max_tokens: int = setting(
        256, "texts are cut after this many tokens, [CLS] included; n-grams and affixes come on top", minimum=1
    )
    ngrams: int = setting(
        1,
        "largest n of the n-grams of neighbouring tokens that are further tokens of a text; 1: none",
        minimum=1,
        maximum=8,
    )
    ngram_frequency: int = setting(2, "n-grams that the training texts hold less often are unknown", minimum=1)
    ngram_vocabulary_size: int = setting(1000000, "largest number of known n-grams: the most frequent ones", minimum=1)
    affixes: bool = setting(
        False,
        "how words of the training texts begin and end, where two at least do so, are further tokens, "
        "of the first max_tokens - 1 words",
    )
    char_ngrams: str = setting(
        "",
        "lengths of character n-grams, such as 3-5, that are further tokens of the first max_tokens - 1 words, with < "
        "and > at the ends of a word; empty: none",
    )
    char_ngram_frequency: int = setting(
        2, "character n-grams that fewer different words of the training texts have are unknown", minimum=1
    )
    char_ngram_vocabulary_size: int = setting(
        100000, "largest number of known character n-grams: those that most words have", minimum=1
    )
    validation_fraction: float = setting(
        0.1, "share of the training texts split off to choose the best epoch", minimum=0.0, below=1.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.label_separator:
            raise UserError("label_separator: expected a character or more, got nothing; the default is a comma")
        if self.label_columns and not self.has_several_labels():
            raise UserError("label_columns: a text then may have several labels; add --multi-label, or leave it out")
        if self.label_columns and self.label_column:
            raise UserError("label_columns and label_column: both name the labels; give one of the two")
        self.char_ngram_lengths()
        if self.train_file:
            object.__setattr__(self, "corpus", "")  # names nothing then

    def has_several_labels(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.labels == "several"

    def char_ngram_lengths(self) -> range:
        """The lengths of character n-grams; UserError where they are none."""
        if not self.char_ngrams:
            return range(0)
        first, _, last = self.char_ngrams.partition("-")
        given = [int(length) if DIGITS.fullmatch(length) else 0 for length in (first, last or first)]
        if not 1 <= given[0] <= given[1] <= LONGEST or self.char_ngrams.endswith("-"):
            raise UserError(
                f"char_ngrams: expected two lengths from 1 to {LONGEST} such as 3-5, or one such as 4, "
                f"got {self.char_ngrams!r}; empty for none"
            )
        return range(given[0], given[1] + 1)

    def name(self) -> str:
        """The name of the texts: that of the corpus, or of the first training file, with "…" where there are more."""
        if not self.train_file:
            return self.corpus
        first, *more = [self.train_file] if os.path.exists(self.train_file) else self.train_file.split(",")
        return sanitize(Path(first).name + (", …" if more else ""), NAME_CHARACTERS)
