"""Whole processes, from the command line to the test accuracy: a training of ours, fastText, and linear models.

Each is measured in a process of its own, on so many cores, and all read the same files: CSV with the header text,label.
What a run of ours keeps is thrown away; its cache folder is empty ("ours_cold") or filled by an earlier run
("ours_warm", and without functions in C "ours_numpy").
"""

import csv
import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.benchmark.machine import describe_machine
from engine.benchmark.process import ProcessUse, measured_process
from engine.compiled.c_file import MODES, VARIABLE
from engine.data.config import DataConfig
from engine.data.reading import read_corpus
from engine.data.texts import LabelledTexts, class_names, encode_labels
from engine.support.command import install_extra
from engine.support.errors import UserError
from engine.support.text import format_table

OURS = ("ours_cold", "ours_warm", "ours_numpy")
NAMES = {
    "ours_cold": "ours, empty cache",
    "ours_warm": "ours, filled cache",
    "ours_numpy": "ours, filled cache, no C",
    "ours": "ours",
    "fasttext": "fastText",
    "word_svm": "TF-IDF of 1-2 words + linear SVM",
    "char_svm": "TF-IDF of 2-5 characters + linear SVM",
    "nb_svm": "NB-SVM of 1-2 words",
}
MODULES = {"fasttext": "fasttext", "word_svm": "sklearn", "char_svm": "sklearn", "nb_svm": "sklearn"}
FASTTEXT_EPOCHS = 25
COLUMNS = ("text", "label")


class Measured(NamedTuple):
    """What a process used, and the test accuracy that it reached."""

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    test_accuracy: float


def train_ours(
    train: Path, test: Path, cache: Path, cores: int, *arguments: object, functions_in_c: bool = True
) -> Measured:
    """A training of ours by the default preset, in a process of its own. cache: its cache folder."""
    with tempfile.TemporaryDirectory() as folder:
        files = ("--train-file", train, "--test-file", test, "--text-columns", COLUMNS[0], "--label-column", COLUMNS[1])
        command = (sys.executable, "-m", "wave_network", "train", "--json", "--cache-dir", cache, *files, *arguments)
        mode = MODES[0] if functions_in_c else MODES[1]
        command += ("--output", Path(folder) / "run")
        return measured(measured_process("ours", command, cores, **{VARIABLE: mode}))


def train_baseline(name: str, train: Path, test: Path, cores: int, epochs: int = FASTTEXT_EPOCHS) -> Measured:
    """A baseline of baselines.py in a process of its own. epochs: of fastText."""
    module = "layers.experiments.benchmark.baselines"
    return measured(
        measured_process(NAMES[name], [sys.executable, "-m", module, name, train, test, epochs, cores], cores)
    )


def measured(use: ProcessUse) -> Measured:
    """The Measured of a process that printed its result as JSON."""
    return Measured(*use[:3], json.loads(use.output)["test_accuracy"])


def medians(repeats: Sequence[Measured]) -> Measured:
    """The medians over the repeats."""
    return Measured(*map(statistics.median, zip(*repeats)))


def as_json_row(repeats: Sequence[Measured]) -> dict[str, Any]:
    """The medians by name, and "spread": {name: [least, largest]}."""
    spread = {name: [min(found), max(found)] for name, found in zip(Measured._fields, zip(*repeats))}
    return {**medians(repeats)._asdict(), "spread": spread}


def chosen_names(known: Sequence[str], only: Sequence[str], with_peers: bool | None, mode: str) -> list[str]:
    """The contestants named in `only`, or all; with_peers=False leaves out all but ours. UserError for others.

    mode: the option that asks for them. UserError also where a package is missing.
    """
    for name in only:
        if name not in known:
            raise UserError(f"--only {name}: is none of {', '.join(known)}")
    chosen = [name for name in only or known if with_peers is not False or name not in MODULES]
    for name in chosen:
        module = MODULES.get(name)
        if module is not None and importlib.util.find_spec(module) is None:
            others = ",".join(other for other in known if other not in MODULES)
            raise UserError(
                f"{mode}: {NAMES[name]} needs the package {module}, which is not installed; "
                f"run {install_extra('bench')}, or choose others (--only {others})"
            )
    if not chosen:
        raise UserError(f"--no-peer: leaves nothing of --only {','.join(only)}; leave out one of the two")
    return chosen


def write_csv(path: Path, texts: LabelledTexts) -> None:
    """Write LabelledTexts as the CSV that all contestants read."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows(zip(texts.texts, texts.labels or ()))


class WholeProcesses:
    """The contestants on one corpus. Raises UserError for a corpus that cannot be had or lacks labelled test texts.

    found: {contestant: [Measured of each repeat]}.
    """

    known = (*OURS, *MODULES)

    def __init__(
        self,
        data: DataConfig,
        only: Sequence[str] = (),
        repeats: int = 5,
        cores: int = 1,
        with_peers: bool | None = None,
        cache_dir: str | None = None,
    ) -> None:
        self.names = chosen_names(self.known, only, with_peers, "--processes")
        self.repeats, self.cores = repeats, cores
        corpus, _ = read_corpus(data, cache_dir)
        if corpus.test is None:
            raise UserError(f"--train-file {data.train_file}: the accuracy needs test texts; give them (--test-file)")
        encode_labels(corpus.test.labels, class_names(corpus.train), corpus.test)
        self.corpus: Any = corpus
        self.name, self.rows = corpus.name, {"train": len(corpus.train), "test": len(corpus.test)}
        self.found: dict[str, list[Measured]] = {name: [] for name in self.names}

    @property
    def count(self) -> int:
        """The number of processes that are measured."""
        return self.repeats * len(self.names)

    def measure(self) -> Iterator[str]:
        """Measure the contestants in turns, repeat by repeat; yield the name of each before its process starts."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            train, test = folder / "train.csv", folder / "test.csv"
            write_csv(train, self.corpus.train)
            write_csv(test, self.corpus.test)
            self.corpus = None  # contestants need the memory
            filled = folder / "filled"
            if {"ours_warm", "ours_numpy"} & set(self.names):
                yield "filling the cache"
                train_ours(train, test, filled, self.cores)
            for _ in range(self.repeats):
                for name in self.names:
                    yield NAMES[name]
                    if name in MODULES:
                        self.found[name].append(train_baseline(name, train, test, self.cores))
                        continue
                    with tempfile.TemporaryDirectory(dir=folder) as empty:
                        cache, in_c = Path(empty) if name == "ours_cold" else filled, name != "ours_numpy"
                        self.found[name].append(train_ours(train, test, cache, self.cores, functions_in_c=in_c))


HEADINGS = ["process", "CPU s", "wall s", "peak memory", "test accuracy", "CPU of fastText's"]


def as_table(processes: WholeProcesses) -> str:
    """A line for each contestant: medians of the repeats."""
    of = {name: medians(repeats) for name, repeats in processes.found.items()}
    rows = [(NAMES[name], *cells(m), ratio(m, of.get("fasttext"))) for name, m in of.items()]
    table = format_table(HEADINGS, rows)
    sizes, cores = processes.rows, processes.cores
    on = f"each on {cores} core{'s' * (cores > 1)}"
    about = f"medians of {processes.repeats}, {on}; fastText with {FASTTEXT_EPOCHS} epochs"
    return f"{table}\n{processes.name}: {sizes['train']:,} training, {sizes['test']:,} test texts; {about}"


def cells(found: Measured) -> tuple[str, ...]:
    """Seconds, memory and accuracy as text."""
    return (
        f"{found.cpu_seconds:.2f}",
        f"{found.wall_seconds:.2f}",
        f"{found.peak_bytes / 2**20:,.0f} MiB",
        f"{100 * found.test_accuracy:.2f} %",
    )


def ratio(found: Measured, other: Measured | None) -> str:
    """How many times the CPU seconds of another, "-" without one."""
    return "-" if other is None else f"{found.cpu_seconds / other.cpu_seconds:.2f}"


def as_json_object(processes: WholeProcesses) -> dict[str, Any]:
    """{"machine", "settings", "results"}, plain values."""
    return {
        "machine": describe_machine(),
        "settings": {
            "corpus": processes.name,
            "rows": processes.rows,
            "repeats": processes.repeats,
            "cores": processes.cores,
            "fasttext_epochs": FASTTEXT_EPOCHS,
        },
        "results": [{"name": name, **as_json_row(repeats)} for name, repeats in processes.found.items()],
    }
