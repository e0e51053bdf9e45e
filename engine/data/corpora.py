"""Corpora by name: their sources, sizes and terms of use, and the list of them for the command line.

Each is fetched at first use and kept. Row counts, files, columns and commits are those of the sources at the commits
stated; the data read are held against them.
"""

import textwrap
from typing import Any

from engine.data.download import TabCorpus
from engine.data.hub_corpus import HubCorpus
from engine.data.texts import Corpus
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.support.settings import nearest
from engine.support.text import format_table

ZHANG = "X. Zhang, J. Zhao, Y. LeCun 2015"
CACHOPO = "A. Cardoso-Cachopo 2007"
YELP_TERMS = "Yelp's dataset agreement: non-commercial research, no redistribution"

CORPORA: dict[str, TabCorpus | HubCorpus] = {
    "r8": TabCorpus(
        description="Reuters-21578 newswire, the 8 largest single topics",
        train_rows=5485,
        test_rows=2189,
        classes=8,
        stem="reuters-r8",
        authors=f"Reuters Ltd and Carnegie Group 1987; D. Lewis; {CACHOPO}",
        terms="research purposes only",
    ),
    "r52": TabCorpus(
        description="Reuters-21578 newswire, 52 single topics, very uneven",
        train_rows=6532,
        test_rows=2568,
        classes=52,
        stem="reuters-r52",
        authors=f"Reuters Ltd and Carnegie Group 1987; D. Lewis; {CACHOPO}",
        terms="research purposes only",
    ),
    "20ng": TabCorpus(
        description="20 Newsgroups, posts by newsgroup, split by date",
        train_rows=11293,
        test_rows=7528,
        classes=20,
        stem="20newsgroups",
        authors=f"K. Lang; J. Rennie; {CACHOPO}",
        terms="none stated; given on for research purposes",
    ),
    "ag_news": HubCorpus(
        description="AG News, title and first sentences of news articles, by section",
        train_rows=120_000,
        test_rows=7_600,
        repository="fancyzhx/ag_news",
        revision="eb185aade064a813bc0b7f42de02595523103ca4",
        train_files=("data/train-00000-of-00001.parquet",),
        test_files=("data/test-00000-of-00001.parquet",),
        text_columns=("text",),
        label_column="label",
        class_names=("World", "Sports", "Business", "Sci/Tech"),
        download_bytes=19_820_267,
        authors=f"A. Gulli; {ZHANG}",
        terms="research and other non-commercial activity",
    ),
    "dbpedia_14": HubCorpus(
        description="DBpedia 2014, title and abstract of Wikipedia articles, by kind of subject",
        train_rows=560_000,
        test_rows=70_000,
        repository="fancyzhx/dbpedia_14",
        revision="9abd46cf7fc8b4c64290f26993c540b92aa145ac",
        train_files=("dbpedia_14/train-00000-of-00001.parquet",),
        test_files=("dbpedia_14/test-00000-of-00001.parquet",),
        text_columns=("title", "content"),
        label_column="label",
        class_names=(
            "Company",
            "EducationalInstitution",
            "Artist",
            "Athlete",
            "OfficeHolder",
            "MeanOfTransportation",
            "Building",
            "NaturalPlace",
            "Village",
            "Animal",
            "Plant",
            "Album",
            "Film",
            "WrittenWork",
        ),
        download_bytes=119_424_374,
        authors=f"DBpedia; {ZHANG}",
        terms="CC BY-SA 3.0 and GNU FDL",
    ),
    "imdb": HubCorpus(
        description="IMDB film reviews, positive or negative",
        train_rows=25_000,
        test_rows=25_000,
        repository="stanfordnlp/imdb",
        revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
        train_files=("plain_text/train-00000-of-00001.parquet",),
        test_files=("plain_text/test-00000-of-00001.parquet",),
        text_columns=("text",),
        label_column="label",
        class_names=("negative", "positive"),
        download_bytes=41_450_331,
        authors="A. Maas and others 2011",
        terms="none stated",
    ),
    "sst2": HubCorpus(
        description="Stanford Sentiment Treebank, phrases and sentences of film reviews, positive or negative; "
        "the test texts are the 872 of GLUE's validation split, since the labels of its test split are not public",
        train_rows=67_349,
        test_rows=872,
        repository="stanfordnlp/sst2",
        revision="8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb",
        train_files=("data/train-00000-of-00001.parquet",),
        test_files=("data/validation-00000-of-00001.parquet",),
        text_columns=("sentence",),
        label_column="label",
        class_names=("negative", "positive"),
        download_bytes=3_183_271,
        authors="R. Socher and others 2013; B. Pang, L. Lee 2005",
        terms="none stated",
    ),
    "trec": HubCorpus(
        description="TREC questions, by the kind of answer that they ask for (the 6 coarse classes)",
        train_rows=5_452,
        test_rows=500,
        repository="CogComp/trec",
        # the hub's own conversion to parquet: branch main holds a script
        revision="65752bf53af25bc935a0dce92fb5b6c930728450",
        train_files=("default/train/0000.parquet",),
        test_files=("default/test/0000.parquet",),
        text_columns=("text",),
        label_column="coarse_label",
        class_names=("abbreviation", "entity", "description", "human", "location", "number"),
        download_bytes=300_000,  # about
        authors="X. Li, D. Roth 2002; E. Hovy and others 2001",
        terms="none stated",
    ),
    "yelp_polarity": HubCorpus(
        description="Yelp reviews, negative (1 or 2 stars) or positive (3 or 4)",
        train_rows=560_000,
        test_rows=38_000,
        repository="fancyzhx/yelp_polarity",
        revision="bbf1c97a1f0cf005e5aded43839fd814654a1557",
        train_files=("plain_text/train-00000-of-00001.parquet",),
        test_files=("plain_text/test-00000-of-00001.parquet",),
        text_columns=("text",),
        label_column="label",
        class_names=("negative", "positive"),
        download_bytes=273_700_000,  # about
        authors=f"Yelp Dataset Challenge 2015; {ZHANG}",
        terms=YELP_TERMS,
    ),
    "yelp_full": HubCorpus(
        description="Yelp reviews, by their number of stars",
        train_rows=650_000,
        test_rows=50_000,
        repository="Yelp/yelp_review_full",
        revision="c1f9ee939b7d05667af864ee1cb066393154bf85",
        train_files=("yelp_review_full/train-00000-of-00001.parquet",),
        test_files=("yelp_review_full/test-00000-of-00001.parquet",),
        text_columns=("text",),
        label_column="label",
        class_names=("1 star", "2 stars", "3 stars", "4 stars", "5 stars"),
        download_bytes=322_952_369,
        authors=f"Yelp Dataset Challenge 2015; {ZHANG}",
        terms=YELP_TERMS,
    ),
    "yahoo_answers": HubCorpus(
        description="Yahoo! Answers of 2007, question, its details and the best answer, by topic",
        train_rows=1_400_000,
        test_rows=60_000,
        repository="community-datasets/yahoo_answers_topics",
        revision="6652a1e7c94f7260a0bfd0c9092dd48e2d536ea1",
        train_files=(
            "yahoo_answers_topics/train-00000-of-00002.parquet",
            "yahoo_answers_topics/train-00001-of-00002.parquet",
        ),
        test_files=("yahoo_answers_topics/test-00000-of-00001.parquet",),
        text_columns=("question_title", "question_content", "best_answer"),
        label_column="topic",
        class_names=(
            "Society & Culture",
            "Science & Mathematics",
            "Health",
            "Education & Reference",
            "Computers & Internet",
            "Sports",
            "Business & Finance",
            "Entertainment & Music",
            "Family & Relationships",
            "Politics & Government",
        ),
        download_bytes=533_000_000,  # about
        authors=f"Yahoo! Webscope; {ZHANG}",
        terms="non-commercial research, under Yahoo's data sharing agreement",
    ),
}
SMALL_CORPORA = ("r8", "r52", "20ng")  # what `accuracy` trains unless it is told otherwise


def known_corpus(name: str) -> TabCorpus | HubCorpus:
    """The corpus of a name; UserError for an unknown one."""
    if name not in CORPORA:
        raise UserError(
            f"corpus {name!r} is unknown{nearest(name, CORPORA)}: use one of {', '.join(CORPORA)}, "
            "or a file of your own (--train-file)"
        )
    return CORPORA[name]


def load_corpus(name: str, cache_dir: AnyPath | None = None) -> Corpus:
    """The Corpus of one of the names in CORPORA, with training and test texts, fetched at first use.

    cache_dir: folder to keep the files in. By default those of r8, r52 and 20ng are kept in the user's cache folder of
    wave-network, those of the hub where huggingface_hub keeps all its files (HF_HOME).
    Raises UserError for an unknown name, a failed download, a cache that cannot be written and a damaged file in it.
    """
    return known_corpus(name).load(name, cache_dir)


WIDTH = 100
INDENT = " " * 15


def describe_corpora(cache_dir: AnyPath | None = None) -> list[dict[str, Any]]:
    """A dict of plain values for each corpus by name, without network access. cached: whether its files are here."""
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


def as_text(rows: list[dict[str, Any]]) -> str:
    """Rows of describe_corpora for a terminal: a table of sizes, then each one's content, source and terms of use."""
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


def about(row: dict[str, Any]) -> str:
    """A few lines on one corpus, its name in front of the first."""
    parts = [
        row["description"],
        f"by {row['authors']}",
        f"source: {row['source']}, at {row['revision'][:12]}",
        f"terms of use: {row['terms']}",
    ]
    lines = [
        line
        for part in parts
        for line in textwrap.wrap(part, WIDTH - len(INDENT), subsequent_indent="  ", break_on_hyphens=False)
    ]
    return textwrap.indent("\n".join(lines), INDENT).replace(INDENT, f"{row['name']:{len(INDENT)}}", 1)
