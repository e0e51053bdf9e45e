"""A run from start to end: data, network, training, result.

Networks come from a `build_network` that the door hands in:

build_network(network_config, vocabulary, classes, seed) -> a network that keeps the contract
"""

import contextlib
import platform
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine import __version__
from engine.arrays.backend import blas_threads, peak_memory_bytes, resolve_device
from engine.arrays.matmul import check_precision, product_precision
from engine.cuda.kernels import mode, worst_differences
from engine.data.prepare import prepare, read_corpus
from engine.data.vocabulary import Vocabulary, load_vocabulary, save_vocabulary
from engine.support.errors import UserError
from engine.support.files import read_json, sha256_of, write_json
from engine.training.checkpoint import load_checkpoint, load_weights
from engine.training.evaluation import evaluate
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import RunSettings, settings_of
from engine.training.trainer import Trainer

MUCH_UNKNOWN = (
    1 / 3
)  # of the tokens: then a vocabulary of words hardly fits the texts, for example of a language without spaces
FILE_FIELDS = ("train_file", "validation_file", "test_file", "tokenizer")  # of DataConfig: names of files


class OpenRun(NamedTuple):
    """A trained run, ready to predict: the network with its best weights, on its device."""

    settings: RunSettings
    network: object
    vocabulary: Vocabulary
    classes: list


def start_run(settings, build_network, output, device="cpu", cache_dir=None, tell=print, watch=None):
    """Train a new run into the folder `output`; returns what result.json holds.

    tell: takes lines for the user; watch: as in Trainer.
    """
    settings = pinned(settings)
    check_precision(settings.training.precision, device)
    directory = RunDirectory.create(output)
    with directory.held():
        try:
            corpus, notes = read_corpus(settings.data, cache_dir)
            for note in notes:
                tell(note)
            data = prepare(settings.data, corpus, settings.training.seed, cache_dir=cache_dir)
            network = network_for(settings, build_network, data)
            save_vocabulary(data.vocabulary, *directory.vocabulary_files)
            directory.write_config({"run": {"version": __version__, "device": device}, **settings.sections()})
        except BaseException:  # Ctrl-C too: an empty run directory is of no use
            directory.discard()
            raise
        with blas_threads(settings.training.threads), product_precision(settings.training.precision, device):
            return run_to_end(settings, network, directory, data, device, tell, watch, resume=False)


def resume_run(path, network_classes, build_network, device=None, cache_dir=None, tell=print, watch=None):
    """Continue the run in `path`, with the settings and, unless one is given, on the device of its config.toml.

    Returns what result.json holds.
    """
    directory = RunDirectory.open(path)
    if directory.holds_only_a_start():
        with directory.held():  # else it may be alive
            raise UserError(
                f"{path}: was stopped before anything was trained; begin it anew, with the command that began it"
            )
    result = directory.result()
    if result is not None:
        tell(f"{path}: this run has finished already; its result stands in {directory.result_file}")
        return result
    settings = read_run_settings(directory, network_classes)
    device = resolve_device(device or directory.read_config()["run"].get("device", "cpu"))
    check_precision(settings.training.precision, device)
    with directory.held():
        data = prepare_again(settings, directory, cache_dir)
        network = network_for(settings, build_network, data)
        with blas_threads(settings.training.threads), product_precision(settings.training.precision, device):
            return run_to_end(settings, network, directory, data, device, tell, watch, resume=True)


def start_or_resume(
    settings,
    network_classes,
    build_network,
    path,
    device="cpu",
    cache_dir=None,
    tell=print,
    watch=None,
    plan="the plan",
):
    """Train the run in `path` to its end, wherever it stands: not begun, interrupted or finished.

    Returns what result.json holds.

    plan: where the settings come from; UserError where those of a run that has begun are others.
    """
    directory = RunDirectory(path)
    directory.discard_killed_start()
    if not directory.config_file.exists():
        return start_run(settings, build_network, path, device, cache_dir, tell, watch)
    require_settings(directory, settings, network_classes, plan)
    return resume_run(path, network_classes, build_network, device, cache_dir, tell, watch)


def require_settings(directory, settings, network_classes, plan):
    """Raise UserError unless the config.toml of a run says what was planned. plan: where that stands."""
    if read_run_settings(directory, network_classes) != pinned(settings):
        raise UserError(f"{directory.config_file}: differs from {plan}; restore the file that was changed")


def prepare_again(settings, directory, cache_dir=None):
    """PreparedData of a run that has begun, with the vocabulary of its directory."""
    corpus, _ = read_corpus(settings.data, cache_dir)
    state = read_json(directory.last / "state.json") if directory.has_checkpoint() else {}
    return prepare(settings.data, corpus, settings.training.seed, vocabulary_of(directory, settings, state), cache_dir)


def vocabulary_of(directory, settings, state):
    """The Vocabulary of a run that has begun.

    UserError where its files are others than the state of a checkpoint tells of; older ones do not tell.
    """
    told = state.get("vocabulary")
    for name, digest in vocabulary_digests(directory).items() if isinstance(told, dict) else ():
        if told.get(name, digest) != digest:
            raise UserError(
                f"{directory.path / name}: is not the one that the network was trained with; "
                "restore the file or train again"
            )
    return load_vocabulary(*directory.vocabulary_files, settings.data.ngrams, settings.data.affixes)


def vocabulary_digests(directory):
    """{name: SHA-256} of the files of a run's vocabulary; what cannot be read is left to whoever loads it."""
    digests = {}
    for file in directory.vocabulary_files:
        with contextlib.suppress(OSError):
            digests[file.name] = sha256_of(file)
    return digests


def network_for(settings, build_network, data):
    """The untrained network of RunSettings for a PreparedData."""
    return build_network(settings.network, data.vocabulary.size(), len(data.classes), settings.training.seed)


def run_to_end(settings, network, directory, data, device, tell, watch, resume):
    """Train (on), evaluate the best checkpoint on the test texts, write result.json."""
    seed = settings.training.seed
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    sizes = [f"{len(split.offsets) - 1:,} {name}" for name, split in splits.items() if split]
    tell(
        f"corpus {data.name}: {', '.join(sizes)} texts, {len(data.classes)} classes, "
        f"vocabulary {data.vocabulary.size():,}"
    )
    unknown = data.vocabulary.unknown_share(data.train.ids)
    if unknown > MUCH_UNKNOWN:
        tell(
            f"{100 * unknown:.0f} % of the training tokens are unknown words; "
            "with tokens=wordpieces they fall into pieces that are known"
        )
    tell(
        f"network: {network.parameter_count():,} parameters, device {device}, seed {seed}; "
        f"run directory {directory.path}"
    )
    state = {
        "config": settings.sections(),
        "labels": data.classes,
        "data_fingerprint": data.fingerprint(),
        "vocabulary": vocabulary_digests(directory),
    }
    fits = {"config": settings.are_those_of, "vocabulary": lambda saved: True}  # which prepare_again() has looked at
    trainer = Trainer(network, settings.training, data, directory, device, state, fits, watch)
    if resume and directory.has_checkpoint():
        trainer.resume()
        tell(f"resumed after step {trainer.progress.step}")
    elif resume:
        directory.cut_metrics(0)
        tell(f"{directory.last} holds no state: training starts anew")
    worst_differences.clear()
    trainer.train()
    trainer.load_best()
    test = evaluate(network, data.test, data.classes) if data.test else None
    progress = trainer.progress
    result = {
        "test_accuracy": test.accuracy if test else None,
        "test_macro_f1": test.macro_f1 if test else None,
        "validation_accuracy": progress.best_accuracy if data.validation else None,
        "train_seconds": progress.train_seconds,
        "tokens_per_second": progress.tokens / max(progress.train_seconds, 1e-9),
        "parameters": network.parameter_count(),
        "peak_memory_bytes": peak_memory_bytes(device),
        "seed": seed,
        "device": device,
        "precision": settings.training.precision,
        "corpus": data.name,
        "texts": {name: len(split.labels) for name, split in splits.items() if split},
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "steps": progress.step,
        "classes": [row._asdict() for row in test.classes] if test else [],
        "run_directory": str(directory.path),
        "versions": {"program": __version__, "python": platform.python_version(), "numpy": np.__version__},
    }
    if device == "cuda":
        result["kernels"] = mode()
        result["versions"]["cupy"] = sys.modules["cupy"].__version__
    if worst_differences:  # of WAVE_KERNELS=check, each as a share of its tolerance
        result["kernel_differences"] = {
            f"{name}, {dtype}": worst for (name, dtype), worst in sorted(worst_differences.items())
        }
    write_json(directory.result_file, result)
    return result


def open_run(path, network_classes, build_network, device="cpu"):
    """OpenRun of a run directory with its best weights. UserError where it is none, or damaged, or untrained."""
    directory = RunDirectory.open(path)
    settings = read_run_settings(directory, network_classes)
    state, arrays = load_checkpoint(directory.best, ("weights",))
    if not settings.are_those_of(state.get("config")):
        raise UserError(
            f"{directory.config_file}: differs from the settings in {directory.best / 'state.json'} that were trained; "
            "restore the file"
        )
    vocabulary, classes = vocabulary_of(directory, settings, state), labels_in(state, directory)
    network = build_network(settings.network, vocabulary.size(), len(classes), settings.training.seed)
    load_weights(network, arrays["weights"], directory.best)
    return OpenRun(settings, network.to(device), vocabulary, classes)


def classes_of(path):
    """The names of the classes that the run in a directory has learned, from a small file.

    UserError where it is no trained run.
    """
    directory = RunDirectory.open(path)
    return labels_in(read_json(directory.best / "state.json"), directory)


def labels_in(state, directory):
    """The names of the classes in the state of a run's best checkpoint."""
    classes = state.get("labels")
    if not isinstance(classes, list):
        raise UserError(f"{directory.best / 'state.json'}: lacks the labels; restore the file or train again")
    return classes


@contextlib.contextmanager
def computing_as_trained(run, device):
    """With the threads of an OpenRun's training, and on "cuda" with the precision of its products; those of "cpu" are float32."""
    precision = run.settings.training.precision if device == "cuda" else "float32"
    with blas_threads(run.settings.training.threads), product_precision(precision, device):
        yield


def read_run_settings(directory, network_classes):
    """RunSettings of a run's config.toml."""
    sections = directory.read_config()
    try:
        return settings_of(sections, network_classes)
    except UserError as error:
        raise UserError(f"{directory.config_file}: {error}") from None


def pinned(settings):
    """The same settings with absolute file names, so that a run can be resumed from any folder."""
    absolute = {
        name: str(Path(getattr(settings.data, name)).resolve()) for name in FILE_FIELDS if getattr(settings.data, name)
    }
    return settings._replace(data=settings.data.replace(**absolute))
