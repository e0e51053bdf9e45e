"""Exported networks: a folder of weights, vocabulary, settings and results, without checkpoints.

A run directory keeps its weights in checkpoints/best, an exported folder beside its config.toml; whatever opens the one
opens the other. Names of training files are kept without their folders.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine import __version__
from engine.arrays.array_file import write_arrays
from engine.arrays.backend import to_host
from engine.arrays.ragged import RaggedBatch
from engine.data.config import DataConfig
from engine.data.corpora import known_corpus
from engine.data.vocabulary import save_vocabulary, vocabulary_digests
from engine.support.errors import UserError
from engine.support.files import AnyPath, leftovers, require_vacant, write_json
from engine.support.paths import names_of
from engine.training.checkpoint import FORMAT
from engine.training.class_factors import decide
from engine.training.config import computing
from engine.training.decision import Decision
from engine.training.evaluation import predict_probabilities
from engine.training.run_directory import ONNX_FILE, RunDirectory, locked
from engine.training.run_settings import FILE_FIELDS, NetworkClasses, RunSettings
from engine.training.session import prepare_again
from engine.training.trained_run import BuildNetwork, OpenRun, open_run

PRECISIONS = ("float16", "float32")
WEIGHTS = "weights.safetensors"
CARD, STATE = "README.md", "state.json"
FETCHED = ".fetched"  # folder for what a pull has fetched so far
LOCK = ".filling.lock"  # of a folder that is being filled
FILES = (
    CARD, STATE, "config.toml", "result.json", "tokenizer.json", "ngrams.safetensors", "affixes.json",
    "char_ngrams.json", WEIGHTS, ONNX_FILE,
)  # fmt: skip
LARGEST = float(np.finfo(np.float16).max)

WriteNetwork = Callable[
    [OpenRun, RunDirectory], dict[str, Any]
]  # writes its files; returns their entries of state.json


def save_weights(precision: str) -> WriteNetwork:
    """A function that writes the weights of a run into an exported folder, in float16 or float32."""

    def write(run: OpenRun, directory: RunDirectory) -> dict[str, Any]:
        weights = {name: to_host(array.value) for name, array in run.network.state().items()}
        for name in run.network.parameters():  # constants stay as they are
            value = weights[name]
            if precision == "float16" and value.size and max(value.max(), -value.min()) > LARGEST:
                raise UserError(
                    f"{name}: holds {abs(value).max():.4g}, beyond the range of float16; export --weights float32"
                )
            weights[name] = value.astype(precision)
        written = write_arrays(directory.path / WEIGHTS, weights)
        return {"weights": {"name": WEIGHTS, **written._asdict()}}

    return write


def save_run(
    run: OpenRun, folder: AnyPath, write: WriteNetwork, result: Mapping[str, Any] | None = None, device: str = "cpu"
) -> None:
    """Write an open run into a new folder, which `predict` and TextModel open.

    result: the content of the run's result.json, if there is one. UserError where the folder is taken or cannot be
    written.
    """
    with being_filled(folder) as directory:
        fill(directory, run, write, result, device)


@contextlib.contextmanager
def being_filled(folder: AnyPath) -> Iterator[RunDirectory]:
    """An empty folder for this context, whose lock tells of a process that was killed within: its files are removed.

    So are those of a context that fails. UserError where the folder is taken or cannot be written.
    """
    require_vacant_for_export(folder)
    directory = RunDirectory(folder)
    was_whole = (directory.path / STATE).exists()
    try:
        directory.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); choose a folder that you may write to"
        ) from error
    try:
        with locked(directory.path / LOCK, f"{folder}: another process writes into it; wait until it has ended"):
            if not was_whole and (directory.path / STATE).exists():
                raise UserError(f"{folder}: another process has filled it in the meantime; choose another folder")
            clear(directory)
            try:
                yield directory
            except BaseException:
                clear(directory)
                raise
    finally:
        directory.remove_if_empty()


def require_vacant_for_export(folder: AnyPath) -> None:
    """Raise UserError where something is at the path, unless a process was killed there in being_filled()."""
    directory = RunDirectory(folder)
    lock = directory.path / LOCK
    begun = lock.exists() and {*directory.path.iterdir()} <= {lock, *files_in(directory)}
    if not begun:
        require_vacant(folder, option="--to")


def files_in(directory: RunDirectory) -> list[Path]:
    """The files of an exported folder, and those that were only begun."""
    found = [path for path in (directory.path / name for name in (*FILES, FETCHED)) if path.exists()]
    return [*found, *(left for name in FILES for left in leftovers(directory.path, name))]


def clear(directory: RunDirectory) -> None:
    """Remove the files of an exported folder; others stay."""
    for path in files_in(directory):
        if path.name == FETCHED and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def fill(
    directory: RunDirectory, run: OpenRun, write: WriteNetwork, result: Mapping[str, Any] | None, device: str
) -> None:
    """Write the files of save_run() into an empty folder."""
    settings = without_folders(run.settings)
    save_vocabulary(run.vocabulary, *directory.vocabulary_files)
    directory.write_config({"run": {"version": __version__, "device": device}, **settings.sections()})
    if result is not None:
        write_json(directory.result_file, {**result, "run_directory": directory.path.resolve().name})
    files = write(run, directory)
    state = {
        "config": settings.sections(),
        "labels": run.classes,
        "vocabulary": vocabulary_digests(directory.vocabulary_files),
        "versions": {"format": FORMAT, "numpy": np.__version__},
        "files": files,
    }
    state.update(Decision(run.network.temperature, run.thresholds, run.factors).state())
    write_json(directory.path / STATE, state)  # last: without it the folder is none


def without_folders(settings: RunSettings) -> RunSettings:
    """The same settings with the bare names of files, which are to be found nowhere else."""
    given = {name: getattr(settings.data, name) for name in FILE_FIELDS}
    bare = {name: ",".join(Path(part).name for part in value.split(",")) for name, value in given.items() if value}
    return settings._replace(data=settings.data.replace(**bare))


class LabelChanges(NamedTuple):
    """How many labels of the texts of a split differ between a run and its export.

    Of texts that may have several labels it is the number of those whose set differs. largest_difference: of a
    probability, over all texts and classes.
    """

    split: str
    changed: int
    texts: int
    largest_difference: float


def texts_are_at_hand(data: DataConfig, cache_dir: AnyPath | None) -> bool:
    """Whether the corpus of a DataConfig can be read without fetching anything."""
    try:
        if not data.train_file:
            return known_corpus(data.corpus).is_cached(cache_dir)
        given = [path for path in (data.train_file, data.validation_file, data.test_file) if path]
        return all(Path(name).is_file() for path in given for name in names_of(path))
    except UserError:  # a corpus that is none of those by name
        return False


def held_out(directory: RunDirectory, run: OpenRun, cache_dir: AnyPath | None) -> dict[str, RaggedBatch]:
    """The validation and test texts of a run as it encodes them; none where its corpus is not at hand."""
    if not texts_are_at_hand(run.settings.data, cache_dir):
        return {}
    data = prepare_again(run.settings, directory, cache_dir)
    found = {"validation": data.validation, "test": data.test}
    return {split: batch for split, batch in found.items() if batch is not None}


def export_run(
    path: AnyPath,
    to: AnyPath,
    network_classes: NetworkClasses,
    build_network: BuildNetwork,
    write: WriteNetwork,
    cache_dir: AnyPath | None = None,
) -> tuple[OpenRun, list[LabelChanges]]:
    """Export the best weights of a run; returns the run and how many labels of its held-out texts change."""
    require_vacant_for_export(to)
    directory = RunDirectory.open(path)
    run = open_run(path, network_classes, build_network)
    held = held_out(directory, run, cache_dir)  # before anything is written
    save_run(run, to, write, directory.result(), directory.read_config()["run"].get("device", "cpu"))
    exported = open_run(to, network_classes, build_network)
    changes = []
    for split, texts in held.items():
        with computing(run.settings.training, "cpu"):
            before, after = (predict_probabilities(each.network, texts) for each in (run, exported))
        if run.thresholds is None:
            changed = np.count_nonzero(decide(before, run.factors) != decide(after, run.factors))
        else:
            changed = np.count_nonzero(((before >= run.thresholds) != (after >= run.thresholds)).any(axis=1))
        largest = float(np.abs(before - after).max(initial=0))
        changes.append(LabelChanges(split, int(changed), len(before), largest))
    return run, changes
