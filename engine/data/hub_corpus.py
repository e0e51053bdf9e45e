"""Corpora in parquet files of a dataset on the Hugging Face hub, at a fixed commit."""

from dataclasses import dataclass

from engine.data.hub import cached_file, damaged, fetch_file
from engine.data.named_corpus import NamedCorpus, mismatch
from engine.data.parquet import read_parquet, require_pyarrow
from engine.data.texts import Corpus, LabelledTexts


@dataclass(frozen=True, kw_only=True)
class HubCorpus(NamedCorpus):
    """Which files of a dataset are the training and the test texts, and what their columns mean.

    revision: the commit, all 40 digits. text_columns: joined by a space. class_names: the class of each label number.
    download_bytes: of all files together.
    """

    repository: str
    revision: str
    train_files: tuple
    test_files: tuple
    text_columns: tuple
    label_column: str
    class_names: tuple
    download_bytes: int

    @property
    def classes(self):
        return len(self.class_names)

    @property
    def source(self):
        return f"dataset {self.repository} of the Hugging Face hub"

    def is_cached(self, cache_dir=None):
        return all(cached_file(self.repository, self.revision, file, cache_dir) for file in (*self.train_files, *self.test_files))

    def load(self, name, cache_dir=None):
        require_pyarrow(f"corpus {name}")
        train, test = ([fetch_file(self.repository, self.revision, f, cache_dir) for f in files] for files in (self.train_files, self.test_files))
        return Corpus(name, self.read(train, self.train_rows, cache_dir), test=self.read(test, self.test_rows, cache_dir))

    def read(self, paths, rows, cache_dir):
        """LabelledTexts of the files of one split, one after the other; UserError unless they have the expected content."""
        texts, labels = [], []
        for path in paths:
            try:
                some, numbers = read_parquet(path, self.text_columns, self.label_column)
                labels += self.labels(numbers)
            except ValueError as error:
                raise damaged(path, error, self.repository, cache_dir) from None
            texts += some
        where = paths[0] if len(paths) == 1 else paths[0].parent
        data = LabelledTexts(texts, labels, str(where))
        if reason := mismatch(data, rows, self.classes):
            raise damaged(where, reason, self.repository, cache_dir)
        return data

    def labels(self, numbers):
        """The class of each label number. ValueError for one that is none: unlabelled texts have -1."""
        known = dict(enumerate(self.class_names))
        for row, number in enumerate(numbers, start=1):
            if number not in known:
                raise ValueError(f"row {row} has the label {number} instead of one from 0 to {self.classes - 1}")
        return [known[number] for number in numbers]
