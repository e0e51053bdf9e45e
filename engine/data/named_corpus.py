"""What every corpus by name states before it is read, and the check that what was read is it."""

from dataclasses import dataclass

from engine.data.texts import class_names


@dataclass(frozen=True, kw_only=True)
class NamedCorpus:
    """A corpus that is fetched at first use. authors: who made and who collected it. terms: what it may be used for.

    Subclasses also have `classes` (their number), `source` (where it comes from), `revision` (which state of it) and
    `download_bytes`.
    """

    train_rows: int
    test_rows: int
    description: str
    authors: str
    terms: str

    def load(self, name, cache_dir=None):
        """The Corpus with training and test texts, fetched unless it is kept. UserError where that fails."""
        raise NotImplementedError

    def is_cached(self, cache_dir=None):
        """Whether `load` needs no network."""
        raise NotImplementedError


def mismatch(data, rows, classes):
    """What is wrong with the size of LabelledTexts, in words that follow "FILE: "; None if nothing."""
    if len(data) != rows:
        return f"it holds {len(data)} rows instead of {rows}"
    if len(class_names(data)) != classes:
        return f"it holds {len(class_names(data))} classes instead of {classes}"
    return None
