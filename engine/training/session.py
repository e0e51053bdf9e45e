"""A run from start to end: data, network, training, result. Networks come from a factory, as in trained_run.py."""

import platform
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from engine import __version__
from engine.arrays.backend import peak_memory_bytes, resolve_device
from engine.arrays.matmul import check_precision
from engine.data.prepare import PreparedData, prepare
from engine.data.reading import open_corpus
from engine.data.vocabulary import save_vocabulary, vocabulary_digests
from engine.implementation import worst_differences
from engine.support.errors import UserError
from engine.support.files import AnyPath, read_json, write_json
from engine.support.implementation import current, using
from engine.training.checkpoint import drop
from engine.training.config import computing
from engine.training.evaluation import evaluate
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import NetworkClasses, RunSettings, pinned
from engine.training.trained_run import BuildNetwork, read_run_settings, vocabulary_of
from engine.training.trainer import Trainer, Watch

# Share of unknown tokens above which a vocabulary of words hardly fits the texts (a language without spaces, say).
MUCH_UNKNOWN = 1 / 3

Log: TypeAlias = Callable[[str], object]  # takes lines for the user


def start_run(
    settings: RunSettings,
    build_network: BuildNetwork,
    output: AnyPath,
    device: str = "cpu",
    cache_dir: AnyPath | None = None,
    log: Log = print,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train a new run into the folder `output`; returns the content of result.json.

    log: takes lines for the user; watch: as in Trainer.
    """
    settings = pinned(settings)
    check_precision(settings.training.precision, device)
    directory = RunDirectory.create(output)
    with directory.held():
        try:
            data = prepare(
                settings.data,
                open_corpus(settings.data, cache_dir),
                settings.training.seed,
                cache_dir=cache_dir,
                sentences=settings.needs_sentences(),
                log=log,
            )
            with using(settings.training.implementation):
                network = network_for(settings, build_network, data)
            save_vocabulary(data.vocabulary, *directory.vocabulary_files)
            directory.write_config({"run": {"version": __version__, "device": device}, **settings.sections()})
        except BaseException:  # Ctrl-C too: an empty run directory is of no use
            directory.discard()
            raise
        with computing(settings.training, device):
            return run_to_end(settings, network, directory, data, device, log, watch, resume=False)


def resume_run(
    path: AnyPath,
    network_classes: NetworkClasses,
    build_network: BuildNetwork,
    device: str | None = None,
    cache_dir: AnyPath | None = None,
    log: Log = print,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Continue the run in `path`, with the settings and, unless one is given, on the device of its config.toml.

    Returns the content of result.json.
    """
    directory = RunDirectory.open(path)
    if directory.holds_only_a_start():
        with directory.held():  # else it may be alive
            raise UserError(
                f"{path}: was stopped before anything was trained; begin it anew, with the command that began it"
            )
    result = directory.result()
    if result is not None:
        log(f"{path}: this run has finished already; its result stands in {directory.result_file}")
        return result
    settings = read_run_settings(directory, network_classes)
    device = resolve_device(device or directory.read_config()["run"].get("device", "cpu"))
    check_precision(settings.training.precision, device)
    with directory.held():
        data = prepare_again(settings, directory, cache_dir)
        with computing(settings.training, device):
            network = network_for(settings, build_network, data)
            return run_to_end(settings, network, directory, data, device, log, watch, resume=True)


def start_or_resume(
    settings: RunSettings,
    network_classes: NetworkClasses,
    build_network: BuildNetwork,
    path: AnyPath,
    device: str = "cpu",
    cache_dir: AnyPath | None = None,
    log: Log = print,
    watch: Watch | None = None,
    plan: str = "the plan",
) -> dict[str, Any]:
    """Train the run in `path` to its end, wherever it stands: not begun, interrupted or finished.

    Returns the content of result.json.

    plan: where the settings come from; UserError where those of a run that has begun are others.
    """
    directory = RunDirectory(path)
    directory.discard_killed_start()
    if not directory.config_file.exists():
        return start_run(settings, build_network, path, device, cache_dir, log, watch)
    require_settings(directory, settings, network_classes, plan)
    return resume_run(path, network_classes, build_network, device, cache_dir, log, watch)


def require_settings(
    directory: RunDirectory, settings: RunSettings, network_classes: NetworkClasses, plan: str
) -> None:
    """Raise UserError unless the config.toml of a run holds the planned settings. plan: where they come from."""
    if read_run_settings(directory, network_classes) != pinned(settings):
        raise UserError(f"{directory.config_file}: differs from {plan}; restore the file that was changed")


def prepare_again(settings: RunSettings, directory: RunDirectory, cache_dir: AnyPath | None = None) -> PreparedData:
    """PreparedData of a run that has begun, with the vocabulary of its directory."""
    corpus = open_corpus(settings.data, cache_dir)
    state = read_json(directory.last / "state.json") if directory.has_checkpoint() else {}
    return prepare(settings.data, corpus, settings.training.seed, vocabulary_of(directory, settings, state), cache_dir)


def network_for(settings: RunSettings, build_network: BuildNetwork, data: PreparedData) -> Any:
    """The untrained network of RunSettings for a PreparedData."""
    return build_network(settings.network, data.vocabulary.size(), len(data.classes), settings.training.seed)


def run_to_end(
    settings: RunSettings,
    network: Any,
    directory: RunDirectory,
    data: PreparedData,
    device: str,
    log: Log,
    watch: Watch | None,
    resume: bool,
) -> dict[str, Any]:
    """Train (on), evaluate the best checkpoint on the test texts, write result.json."""
    seed = settings.training.seed
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    sizes = [f"{len(split.offsets) - 1:,} {name}" for name, split in splits.items() if split]
    classes = f"{len(data.classes)} classes"
    if settings.data.has_several_labels():
        assert data.train.labels is not None
        classes += f", {data.train.labels.sum() / len(data.train.labels):.2f} labels a text"
    log(f"corpus {data.name}: {', '.join(sizes)} texts, {classes}, vocabulary {data.vocabulary.size():,}")
    unknown = data.vocabulary.unknown_share(data.train.ids)
    if unknown > MUCH_UNKNOWN:
        log(
            f"{100 * unknown:.0f} % of the training tokens are unknown words; "
            "with tokens=wordpieces they fall into pieces that are known"
        )
    log(
        f"network: {network.parameter_count():,} parameters, device {device}, seed {seed}; "
        f"run directory {directory.path}"
    )
    state = {
        "config": settings.sections(),
        "labels": data.classes,
        "data_fingerprint": data.fingerprint(),
        "vocabulary": vocabulary_digests(directory.vocabulary_files),
    }
    fits = {"config": settings.matches, "vocabulary": lambda saved: True}  # which prepare_again() has looked at
    trainer = Trainer(network, settings.training, data, directory, device, state, fits, watch)
    if resume and directory.has_checkpoint():
        trainer.resume()
        log(f"resumed after step {trainer.progress.step}")
    elif resume:
        directory.cut_metrics(0)
        log(f"{directory.last} holds no state: training starts anew")
    worst_differences.clear()
    trainer.train()
    trainer.load_best()
    test = evaluate(network, data.test, data.classes, thresholds=trainer.thresholds) if data.test else None
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
        "implementation": current(),
        "corpus": data.name,
        "texts": {name: len(split.offsets) - 1 for name, split in splits.items() if split},
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "steps": progress.step,
        "classes": [row._asdict() for row in test.classes] if test else [],
        "run_directory": str(directory.path),
        "versions": {"program": __version__, "python": platform.python_version(), "numpy": np.__version__},
    }
    if settings.data.has_several_labels():
        result["test_micro_f1"] = test.micro_f1 if test else None
        result["validation_micro_f1"] = progress.best_micro_f1 if data.validation else None
        result["thresholds"] = None if trainer.thresholds is None else trainer.thresholds.tolist()
    if device == "cuda":
        result["versions"]["cupy"] = sys.modules["cupy"].__version__
    if worst_differences:  # of implementation=check, each as a share of its tolerance
        result["differences"] = {
            f"{name}, {dtype}": worst for (name, dtype), worst in sorted(worst_differences.items())
        }
    write_json(directory.result_file, result)
    if not settings.training.keep_optimizer:
        drop(directory.last, "optimizer")
    return result
