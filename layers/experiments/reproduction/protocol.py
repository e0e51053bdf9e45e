"""The protocol of the paper, its options, and the parts of corpora that are trained on.

Parts are shares of the training rows, the classes in the same proportions; the test texts are always all of them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from engine.data.batching import split_validation
from engine.data.config import DataConfig
from engine.data.corpora import CORPORA
from engine.data.reading import read_corpus
from engine.data.texts import Corpus, LabelledTexts, class_names, encode_labels
from engine.support.errors import UserError
from engine.support.files import read_toml, write_text
from engine.support.settings import Settings
from engine.training.config import TrainingConfig
from engine.training.run_settings import FILE_FIELDS, RunSettings, build_settings
from layers.experiments.study.plan import sizes
from layers.networks import CONFIGS
from layers.networks.presets import PRESETS

FILE = "reproduction.toml"
BATCHES = 500  # of the convergence runs
VARIED = (
    "model", "operation", "readout", "position_encoding", "levels", "variants", "hidden", "block_form", "blocks",
    "wave", "dimension", "seed", "corpus",
)  # fmt: skip
NEUTRAL = ("threads", "implementation", "text_columns", "label_column")  # change no result beyond rounding
PROTOCOL: dict[str, Any] = {  # also of the Transformer
    "vocabulary_size": 30522,
    "max_tokens": 512,
    "validation_fraction": 0.2,
    "epochs": 4,
    "batch_size": 64,
    "patience": 0,
}


class Protocol(NamedTuple):
    """The options of a reproduction; all other settings are the paper's.

    corpora: names. files: {name: [training file, …, test file]}. seeds: how many. share: of the training rows, for
    the controls and for gradients and independence; fig7_share: for Fig. 7. fields: of networks, data and training,
    which win over the protocol in all runs that have them.
    """

    corpora: list[str]
    files: dict[str, list[str]]
    seeds: int = 3
    share: float = 0.25
    fig7_share: float = 0.05
    dimension: int = 768
    device: str = "cpu"
    fields: dict[str, str] = {}

    def difference(self) -> str:
        """Name the settings that differ from the paper's in every figure; "" if none do."""
        found = [f"dimension {self.dimension}"] if self.dimension != 768 else []
        return ", ".join(found + [f"{name}={value}" for name, value in self.fields.items() if name not in NEUTRAL])


def parse_files(texts: Iterable[str]) -> dict[str, list[str]]:
    """{name: [training file, …, test file]} of texts NAME=TRAIN[,TRAIN…]:TEST; UserError for another form."""
    found = {}
    for text in texts:
        name, equals, paths = text.partition("=")
        train, colon, test = paths.rpartition(":")
        files = [*train.split(","), test]
        if not (equals and colon and name.isidentifier() and all(files)):
            raise UserError(f"--files {text}: expected NAME=TRAIN:TEST, such as ag_news=train.csv.gz:test.csv.gz")
        if name in found:
            raise UserError(f"--files {text}: {name} has files already; give all its training files at once: A,B:TEST")
        for file in files:
            if not Path(file).is_file():
                raise UserError(f"--files {text}: {file} is no file; look into the name")
        found[name] = [str(Path(file).resolve()) for file in files]
    return found


def check_corpora(corpora: Iterable[str], files: Mapping[str, Sequence[str]]) -> None:
    """Raise UserError for a name that is neither that of a known corpus nor of files."""
    for name in corpora:
        if name not in CORPORA and name not in files:
            raise UserError(
                f"--corpora {name}: is unknown; use {', '.join(CORPORA)}, or give --files {name}=TRAIN:TEST"
            )


def read_protocol(folder: Path) -> Protocol:
    """The Protocol of the folder of a reproduction that has begun. UserError where it is none, or damaged."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"--resume {folder}: holds no {FILE}; give the folder of a reproduction that has begun")
    saved = read_toml(path)
    lacking = [name for name in Protocol._fields if name not in saved]
    if lacking:
        raise UserError(f"{path}: lacks {', '.join(lacking)}; restore the file, or begin anew with another --output")
    return Protocol(**{name: saved[name] for name in Protocol._fields})


def settings_for(protocol: Protocol, data: Mapping[str, Any], *changes: Mapping[str, Any]) -> RunSettings:
    """RunSettings by the protocol: those of the preset `paper`, or of a Transformer of one block, with changes."""
    merged = {name: value for change in changes for name, value in change.items()}
    d = protocol.dimension
    if merged.get("model") == "transformer":
        layers = [PRESETS["transformer-1"], PROTOCOL, sizes("transformer", d)]
    else:
        layers = [PRESETS["paper"], PROTOCOL, {"dimension": d, "hidden": d}]
    network: type[Settings] = CONFIGS[merged.get("model", "wave")]
    known = {*network.fields(), *TrainingConfig.fields(), *DataConfig.fields()}
    fields = {name: value for name, value in protocol.fields.items() if name in known}
    return build_settings(CONFIGS, *layers, merged, fields, data)


def check_fields(protocol: Protocol) -> None:
    """Raise UserError for a field that the tables vary, an unknown one or a wrong value."""
    for name in protocol.fields:
        if name in {*VARIED, *FILE_FIELDS[:3]}:
            raise UserError(f"--set {name}: is what the tables vary, or has an option of its own; leave it out")
    build_settings(CONFIGS, PRESETS["paper"], PROTOCOL, protocol.fields)


class Source(NamedTuple):
    """A part of a corpus. share: of its training rows; data: its fields of a DataConfig; rows: of training and test."""

    share: float
    data: dict[str, str]
    rows: tuple[int, int]


Sources: TypeAlias = dict[str, dict[str, Source]]  # corpus → purpose (see shares()) → its part


def find_sources(protocol: Protocol, folder: Path, cache_dir: str | None) -> tuple[Sources, dict[str, str]]:
    """(Sources, {corpus: reason why it cannot be had}).

    Shares and joined files are written into folder/data, once, as JSON lines: their classes in the same proportions.
    """
    found: Sources = {}
    missing = {}
    for name in protocol.corpora:
        try:
            corpus = load(name, protocol, cache_dir)
        except UserError as error:
            if name in protocol.files:
                raise
            missing[name] = str(error)
            continue
        wanted = shares(protocol, len(corpus.train))
        found[name] = {
            purpose: source_of(name, corpus, share, protocol, folder / "data") for purpose, share in wanted.items()
        }
    return found, missing


def shares(protocol: Protocol, rows: int) -> dict[str, float]:
    """{purpose: share of the training rows}; where a corpus is large, that of convergence fills BATCHES in one epoch.

    rows: of the whole corpus.
    """
    settings = settings_for(protocol, {})
    wanted = BATCHES * settings.training.batch_size / (1 - settings.data.validation_fraction)
    return {
        "full": 1.0,
        "share": protocol.share,
        "fig7": protocol.fig7_share,
        "convergence": min(1.0, wanted / rows),
    }


def load(name: str, protocol: Protocol, cache_dir: str | None) -> Corpus:
    """The Corpus of a name: of its files, else that of engine/data/corpora.py."""
    columns: dict[str, Any] = {n: v for n, v in protocol.fields.items() if n in ("text_columns", "label_column")}
    if name not in protocol.files:
        return read_corpus(DataConfig(corpus=name), cache_dir)[0]
    *train, test = protocol.files[name]
    parts = [read_corpus(DataConfig(train_file=file, test_file=test, **columns), cache_dir)[0] for file in train]
    texts = [text for part in parts for text in part.train.texts]
    labels = [label for part in parts for label in part.train.labels or ()]
    return parts[0] if len(parts) == 1 else Corpus(name, LabelledTexts(texts, labels, train[0]), test=parts[0].test)


def source_of(name: str, corpus: Corpus, share: float, protocol: Protocol, folder: Path) -> Source:
    """The Source of a share of a corpus; its files are written unless they are there."""
    rows = corpus.train.texts, corpus.train.labels or []
    files = protocol.files.get(name, [])
    if share < 1:
        classes = encode_labels(corpus.train.labels, class_names(corpus.train), corpus.train)
        kept = split_validation(classes, 1 - share, 0)[0].tolist()
        rows = [rows[0][row] for row in kept], [rows[1][row] for row in kept]
    assert corpus.test is not None
    count = len(rows[0]), len(corpus.test)
    if share == 1 and len(files) < 3:
        return Source(share, {"train_file": files[0], "test_file": files[1]} if files else {"corpus": name}, count)
    train, test = folder / f"{name}-{share:.6g}.jsonl", folder / f"{name}-test.jsonl"
    for path, (texts, labels) in ((train, rows), (test, (corpus.test.texts, corpus.test.labels or []))):
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(path, "".join(json_lines(texts, labels)))
    own = {"text_columns": "text", "label_column": "label"}
    return Source(share, {"train_file": str(train.resolve()), "test_file": str(test.resolve()), **own}, count)


def json_lines(texts: Sequence[str], labels: Sequence[str]) -> Iterator[str]:
    for text, label in zip(texts, labels):
        yield json.dumps({"label": label, "text": text}, ensure_ascii=False) + "\n"
