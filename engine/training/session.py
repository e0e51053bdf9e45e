"""A run from start to end: data, network, training, result. Networks come from a factory, as in trained_run.py."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, TypeAlias

from engine import __version__
from engine.arrays.backend import resolve_device
from engine.arrays.matmul import check_precision
from engine.data.prepare import PreparedData, prepare
from engine.data.reading import open_corpus
from engine.data.vocabulary import save_vocabulary, vocabulary_digests
from engine.implementation import worst_differences
from engine.support.errors import UserError
from engine.support.files import AnyPath, read_json, write_json
from engine.support.implementation import using
from engine.support.paths import absolute
from engine.support.progress_bar import on_terminal
from engine.training.checkpoint import drop
from engine.training.class_weights import weigh_classes
from engine.training.config import computing
from engine.training.evaluation import evaluate
from engine.training.observers import EpochLines, Observer
from engine.training.prolong import NEW_RUN, prolonged
from engine.training.reduce import ALONE, Alone, require_equal
from engine.training.result import result_of
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import NetworkClasses, RunSettings, check_ranks, for_ranks, pinned
from engine.training.start_vectors import begin_vectors, resume_vectors, vectors_digest
from engine.training.trained_run import BuildNetwork, read_run_settings, vocabulary_of
from engine.training.trainer import Trainer, Watch
from engine.training.transfer import Source, take_weights

Log: TypeAlias = Callable[[str], object]  # takes lines for the user


def start_run(
    settings: RunSettings,
    build_network: BuildNetwork,
    output: AnyPath,
    device: str = "cpu",
    cache_dir: AnyPath | None = None,
    log: Log = print,
    watch: Watch | None = None,
    ranks: Alone = ALONE,
    observers: Sequence[Observer] = (),
    source: Source | None = None,
) -> dict[str, Any]:
    """Train a new run into the folder `output`; returns the content of result.json.

    log: takes lines for the user; watch, observers: as in Trainer. ranks: train together, and the root writes all
    files. source: the run whose weights are the initial ones.
    """
    settings = pinned(for_ranks(settings, ranks.size))
    check_precision(settings.training.precision, device)
    output = ranks.of_root(lambda: RunDirectory.create(output).path)
    directory = RunDirectory(output)
    with held_by_root(directory, ranks):
        try:
            data = ranks.in_turn(
                lambda: prepare(
                    settings.data,
                    open_corpus(settings.data, cache_dir),
                    settings.training.seed,
                    cache_dir=cache_dir,
                    sentences=settings.needs_sentences(),
                    log=log,
                )
            )
            with using(settings.training.implementation):
                network = network_for(settings, build_network, data)
            begin_vectors(network, settings, data, directory, ranks, log, source is not None)
            begun = {"version": __version__, "device": device}
            if source is not None:
                log(take_weights(network, data, source))
                begun["init_from"] = absolute(source.path)
            if ranks.is_root:
                save_vocabulary(data.vocabulary, *directory.vocabulary_files)
                directory.write_config({"run": begun, **settings.sections()})
            with computing(settings.training, device):
                return run_to_end(settings, network, directory, data, device, log, watch, ranks, observers)
        except BaseException:  # Ctrl-C too: a run directory in which nothing has been trained is of no use
            if ranks.is_root and not directory.has_begun():
                directory.discard()
            raise


def held_by_root(directory: RunDirectory, ranks: Alone) -> AbstractContextManager[None]:
    """Context in which the root holds the lock of a run."""
    return directory.held() if ranks.is_root else nullcontext()


def resume_run(
    path: AnyPath,
    network_classes: NetworkClasses,
    build_network: BuildNetwork,
    device: str | None = None,
    cache_dir: AnyPath | None = None,
    log: Log = print,
    watch: Watch | None = None,
    ranks: Alone = ALONE,
    observers: Sequence[Observer] = (),
    epochs: int | None = None,
) -> dict[str, Any]:
    """Continue the run in `path`, with the settings and, unless one is given, on the device of its config.toml.

    ranks: as in start_run(); all must see the folder. epochs: another number of them in all, for which a finished run
    goes on, too: from its last state, at the learning rate that a schedule of so many epochs has there. Returns the
    content of result.json.
    """
    directory = RunDirectory.open(path)
    result = ranks.of_root(lambda: begun_result(directory))
    if result is not None and epochs is None:
        if ranks.is_root:
            finish_killed(directory, network_classes)
        log(f"{path}: this run has finished already; its result stands in {directory.result_file}")
        return result
    settings = read_run_settings(directory, network_classes)
    if epochs is not None:
        settings = prolonged(settings, directory, epochs)
    check_ranks(settings, ranks.size, path)
    device = device or directory.read_config()["run"].get("device", "cpu")
    ranks.choose_device(device)
    device = resolve_device(device)
    check_precision(settings.training.precision, device)
    with held_by_root(directory, ranks):
        data = ranks.in_turn(lambda: prepare_again(settings, directory, cache_dir))
        with computing(settings.training, device):
            network = network_for(settings, build_network, data)
            resume_vectors(network, settings, directory, ranks)
            prolong = epochs is not None
            return run_to_end(settings, network, directory, data, device, log, watch, ranks, observers, True, prolong)


def finish_killed(directory: RunDirectory, network_classes: NetworkClasses) -> None:
    """Do what a process that was killed after it had written the result has left to do; nothing where it lives."""
    if directory.lock_file.exists():
        with suppress(UserError), directory.held():
            drop_unkept(directory, read_run_settings(directory, network_classes))


def drop_unkept(directory: RunDirectory, settings: RunSettings) -> None:
    """Remove the arrays that only training needs from the last state of a finished run, unless they are to be kept."""
    if not settings.training.keep_optimizer:
        drop(directory.last, "optimizer", "average")


def begun_result(directory: RunDirectory) -> dict[str, Any] | None:
    """The result of a run that has begun, or None while it is unfinished. UserError where it has not."""
    if directory.is_exported():
        raise UserError(f"{directory.path}: is an exported network, {NEW_RUN.format(directory.path)}")
    if directory.holds_only_a_start():
        with directory.held():  # else it may be alive
            raise UserError(
                f"{directory.path}: was stopped before anything was trained; begin it anew, "
                "with the command that began it"
            )
    return directory.result()


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
    training, vocabulary = settings.training, data.vocabulary
    network = build_network(
        settings.network,
        vocabulary.size(),
        len(data.classes),
        training.seed,
        first_char_ngram=vocabulary.first_char_ngram(),
    )
    weigh_classes(network, training.class_weights, training.class_weight_values, data.train, data.classes)
    return network


def run_to_end(
    settings: RunSettings,
    network: Any,
    directory: RunDirectory,
    data: PreparedData,
    device: str,
    log: Log,
    watch: Watch | None,
    ranks: Alone = ALONE,
    observers: Sequence[Observer] = (),
    resume: bool = False,
    prolong: bool = False,
) -> dict[str, Any]:
    """Train (on), evaluate the best checkpoint on the test texts, write result.json.

    prolong: take over the settings, of which the number of epochs is another than that of the run so far.
    """
    ranks.use_device(device)
    together = f", {settings.training.shards} shards on {ranks.size} ranks" if ranks.size > 1 else ""
    seed = settings.training.seed
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    sizes = [f"{len(split.offsets) - 1:,} {name}" for name, split in splits.items() if split]
    classes = f"{len(data.classes)} classes"
    if settings.data.has_several_labels():
        assert data.train.labels is not None
        classes += f", {data.train.labels.sum() / len(data.train.labels):.2f} labels a text"
    log(f"corpus {data.name}: {', '.join(sizes)} texts, {classes}, vocabulary {data.vocabulary.size():,}")
    log(
        f"network: {network.parameter_count():,} parameters, device {device}{together}, seed {seed}; "
        f"run directory {directory.path}"
    )
    state = {
        "config": settings.sections(),
        "labels": data.classes,
        "data_fingerprint": data.fingerprint(),
        "vocabulary": ranks.of_root(lambda: vocabulary_digests(directory.vocabulary_files)),
        **vectors_digest(settings, directory, ranks),
    }
    fits = {"config": settings.matches, "vocabulary": lambda saved: True}  # which prepare_again() has looked at
    require_equal(ranks, "the token ids", state["data_fingerprint"])
    if ranks.is_root and not on_terminal():
        observers = [*observers, EpochLines(log)]
    trainer = Trainer(network, settings.training, data, directory, device, state, fits, watch, ranks, observers)
    if resume and ranks.of_root(directory.has_checkpoint):
        trainer.resume()
        if prolong:
            trainer.progress.validations_without_gain = trainer.progress.averaged = 0
            if ranks.is_root:
                directory.write_config({"run": directory.read_config()["run"], **settings.sections()})
            trainer.save_last()
            if ranks.is_root:
                directory.result_file.unlink(missing_ok=True)  # it is unfinished from here on
        log(f"resumed after step {trainer.progress.step}")
    elif resume:
        if ranks.is_root:
            directory.cut_metrics(0)
        log(f"{directory.last} holds no state: training starts anew")
    worst_differences.clear()
    trainer.train()
    trainer.optimizer.state.clear()  # its memory: it has been saved
    trainer.load_best()
    test, decision = None, trainer.decision
    if data.test:
        test = evaluate(
            network, data.test, data.classes, ranks, thresholds=decision.thresholds, factors=decision.factors
        )
    result = result_of(trainer, settings, test)
    if ranks.size > 1:
        result["ranks"] = ranks.size
    if not ranks.is_root:
        return result
    write_json(directory.result_file, result)
    drop_unkept(directory, settings)
    return result
