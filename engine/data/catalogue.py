"""The list of all corpora by name, for the command line."""

import textwrap

from engine.data.corpora import CORPORA, SMALL_CORPORA
from engine.table import format_table

WIDTH = 100
INDENT = " " * 15


def describe_corpora(cache_dir=None):
    """A dict of plain values for each corpus by name; no network is asked. cached: whether its files are kept here."""
    return [
        {
            "name": name,
            "description": corpus.description,
            "train_rows": corpus.train_rows,
            "test_rows": corpus.test_rows,
            "classes": corpus.classes,
            "download_bytes": corpus.download_bytes,
            "cached": corpus.is_cached(cache_dir),
            "source": corpus.source,
            "revision": corpus.revision,
            "authors": corpus.authors,
            "terms": corpus.terms,
        }
        for name, corpus in CORPORA.items()
    ]


def as_text(rows):
    """Rows of describe_corpora for a terminal: a table of sizes, then what each is, where it comes from, and its terms of use."""
    headings = ["corpus", "train rows", "test rows", "classes", "download", "cached"]
    cells = [
        (
            row["name"],
            f"{row['train_rows']:,}",
            f"{row['test_rows']:,}",
            row["classes"],
            f"{row['download_bytes'] / 1e6:.1f} MB",
            "yes" if row["cached"] else "no",
        )
        for row in rows
    ]
    one_download = f"\n{', '.join(SMALL_CORPORA[:-1])} and {SMALL_CORPORA[-1]} come in one download."
    return "\n".join([format_table(headings, cells), one_download, *(f"\n{about(row)}" for row in rows)])


def about(row):
    """A few lines on one corpus, its name in front of the first."""
    parts = [
        row["description"],
        f"by {row['authors']}",
        f"source: {row['source']}, at {row['revision'][:12]}",
        f"terms of use: {row['terms']}",
    ]
    lines = [line for part in parts for line in textwrap.wrap(part, WIDTH - len(INDENT), subsequent_indent="  ", break_on_hyphens=False)]
    return textwrap.indent("\n".join(lines), INDENT).replace(INDENT, f"{row['name']:{len(INDENT)}}", 1)
