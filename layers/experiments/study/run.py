"""A study: several networks trained on the same texts in the same order, measured at every step.

DIR/study.toml     the settings, written first: an interrupted study continues with them
DIR/runs/NAME      a run directory for each network (engine/training/run_directory.py), with measures in metrics.jsonl
DIR/study.json     everything that was recorded, written when a run has ended (schema: plan.py)
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tomli_w

from engine import __version__
from engine.arrays.backend import to_host
from engine.data.batching import take
from engine.data.prepare import PreparedData
from engine.data.tokenizer import FIRST
from engine.support.command import command_name
from engine.support.errors import UserError
from engine.support.files import read_toml, remove_leftovers, require_vacant, write_json, write_text
from engine.training.checkpoint import load_checkpoint, load_weights
from engine.training.interrupt import Interrupted
from engine.training.run_directory import RunDirectory, locked
from engine.training.run_settings import RunSettings, pinned, settings_of
from engine.training.session import network_for, prepare_again, start_or_resume
from engine.types import Floats2d
from layers.experiments.study.measures import (
    correlation_matrix,
    effective_rank,
    gradient_norms,
    mean_absolute_correlation,
)
from layers.experiments.study.plan import PER_STEP, Matrices, Record

PROBE_TEXTS = 256  # texts whose waves are counted

Log: TypeAlias = Callable[[str], object]


class Study(NamedTuple):
    """A study to run.

    runs: equal in all that concerns the data and its order. snapshots: how often independence and waves are measured,
    beside the start. count_waves: (network, RaggedBatch) → {name of a histogram: counts}, or None for a network without
    waves. bins: {name of a histogram: edges}.
    """

    runs: dict[str, RunSettings]
    snapshots: int
    build_network: Callable[..., Any]
    count_waves: Callable[..., dict[str, list[int]] | None]
    bins: dict[str, list[float]]


def watch(study: Study, trainer: Any) -> dict[str, Any]:
    """Fields that a Trainer adds to a step's line of metrics: norms of the gradient, and at some steps a snapshot."""
    step, total = trainer.progress.step, trainer.epochs * trainer.batches_per_epoch
    found = gradient_norms(trainer.parameters, trainer.data.vocabulary.tokenizer.token_to_id(FIRST))
    if step in snapshot_steps(total, study.snapshots):
        trainer.optimizer.catch_up()  # rows that the last batches did not hold have steps to make up for
        found.update(snapshot(study, trainer.network, trainer.data))
    return found


def snapshot_steps(total: int, count: int) -> set[int]:
    """`count` steps, evenly spaced, the last of all among them."""
    return {round(total * part / count) for part in range(1, count + 1)}


def snapshot(study: Study, network: Any, data: PreparedData) -> dict[str, Any]:
    """Measure a network as it is: {"independence": …, "waves": …}, the latter only where it has waves.

    A network that is not finite gives nothing.
    """
    rows = used_rows(network, data)
    if not np.isfinite(rows).all():
        return {}  # the trainer will find it, and says more
    found = {"independence": {
        "mean_absolute_correlation": mean_absolute_correlation(correlation_matrix(rows)),
        "effective_rank": effective_rank(rows),
    }}  # fmt: skip
    texts = data.validation or data.train
    count = min(PROBE_TEXTS, len(texts.offsets) - 1)
    counts = study.count_waves(network, take(texts, np.arange(count)))
    return found if counts is None else {**found, "waves": counts}


def used_rows(network: Any, data: PreparedData) -> Floats2d:
    """The embeddings of the tokens that occur in the training texts, on the host: no others are ever trained."""
    rows: Floats2d = to_host(network.parameters()["embedding.table"].value)[np.unique(data.train.ids)]
    return rows


def start_study(
    study: Study,
    folder: Path | str,
    device: str = "cpu",
    cache_dir: Path | str | None = None,
    log: Log = print,
) -> tuple[Record, Matrices]:
    """Run a Study in a new folder; returns (content of study.json, {name: (correlations before, after)})."""
    folder = Path(folder)
    require_vacant(folder, "study.toml")
    study = study._replace(runs={name: pinned(settings) for name, settings in study.runs.items()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output {folder}: cannot be made ({error.strerror}); choose a folder that you may write to"
        ) from error
    head = {"version": __version__, "device": device, "snapshots": study.snapshots}
    runs = {name: settings.sections() for name, settings in study.runs.items()}
    write_text(folder / "study.toml", tomli_w.dumps({"study": head, "runs": runs}))
    return continue_study(study, folder, device, cache_dir, log)


def read_study(
    folder: Path | str,
    network_classes: dict[str, Any],
    build_network: Callable[..., Any],
    count_waves: Callable[..., dict[str, list[int]] | None],
    bins: dict[str, list[float]],
) -> tuple[Study, str]:
    """Read (Study, device) from the folder of an interrupted study. UserError where it is none, or damaged."""
    path = Path(folder) / "study.toml"
    if not path.is_file():
        raise UserError(
            f"--resume {folder}: holds no study.toml; give the folder of a study that {command_name()} study has begun"
        )
    saved = read_toml(path)
    try:
        runs = {name: settings_of(sections, network_classes) for name, sections in saved["runs"].items()}
        return Study(runs, int(saved["study"]["snapshots"]), build_network, count_waves, bins), saved["study"]["device"]
    except (KeyError, TypeError, ValueError, AttributeError, UserError) as error:
        raise UserError(f"{path}: is damaged ({error}); restore the file, or begin a new study") from None


def continue_study(
    study: Study,
    folder: Path | str,
    device: str = "cpu",
    cache_dir: Path | str | None = None,
    log: Log = print,
) -> tuple[Record, Matrices]:
    """Train the runs that have not ended, then gather everything. Returns as start_study does."""
    folder = Path(folder)
    with locked(folder / "lock", f"{folder}: another process runs this study; wait until it has ended"):
        remove_leftovers(folder)
        return train_and_gather(study, folder, device, cache_dir, log)


def train_and_gather(
    study: Study, folder: Path, device: str, cache_dir: Path | str | None, log: Log
) -> tuple[Record, Matrices]:
    """Train and gather as continue_study() does."""
    networks: list[Any] = [settings.network for settings in study.runs.values()]
    classes = {network.model: type(network) for network in networks}
    recorded: Record = {"settings": {}, "bins": study.bins, "runs": {}}
    matrices: Matrices = {}
    for name, settings in study.runs.items():
        run = RunDirectory(folder / "runs" / name)
        log(f"\n{name}")
        try:
            start_or_resume(
                settings,
                classes,
                study.build_network,
                run.path,
                device,
                cache_dir,
                log,
                partial(watch, study),
                str(folder / "study.toml"),
            )
        except Interrupted as stop:
            stop.run_path = folder  # it is the study that can be continued
            raise
        data = prepare_again(settings, run, cache_dir)
        before = network_for(settings, study.build_network, data)
        recorded["runs"][name] = record_of(study, run, before, data)
        first = correlation_matrix(used_rows(before, data))
        matrices[name] = (first, correlation_matrix(used_rows(with_last_weights(before, run), data)))
        recorded["settings"] = shared_and_own(study, data, device)
        write_json(folder / "study.json", recorded)
    return recorded, matrices


def with_last_weights(network: Any, run: RunDirectory) -> Any:
    """The network with the weights of the end of its training (not the best ones)."""
    load_weights(network, load_checkpoint(run.last, ("weights",))[1]["weights"], run.last)
    return network


def record_of(study: Study, run: RunDirectory, before: Any, data: PreparedData) -> dict[str, Any]:
    """One entry of "runs" in study.json. before: the network as training found it."""
    lines, result = run.read_metrics(), run.result() or {}
    found = {"step": [line["step"] for line in lines], **{key: [line[key] for line in lines] for key in PER_STEP}}
    start = snapshot(study, before, data)
    marked = [(0, start), *((line["step"], line) for line in lines if "independence" in line)]
    for key in ("independence", "waves"):
        found[key] = [{"step": step, **values[key]} for step, values in marked if key in values]
    checked = [line for line in lines if "validation_accuracy" in line]
    found["validation"] = [
        {"step": line["step"], "accuracy": line["validation_accuracy"], "loss": line["validation_loss"]}
        for line in checked
    ]
    return {**found, **{key: result[key] for key in ("test_accuracy", "parameters", "train_seconds")}}


def shared_and_own(study: Study, data: PreparedData, device: str) -> dict[str, Any]:
    """ "settings" of study.json: those that the runs share, and those that each has of its own."""
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    sizes = {f"{name} texts": len(split.offsets) - 1 for name, split in splits.items() if split}
    shared = {
        "version": __version__,
        "corpus": data.name,
        **sizes,
        "classes": len(data.classes),
        "vocabulary": data.vocabulary.size(),
    }
    first = next(iter(study.runs.values()))
    own = {name: {**s.network.to_dict(), "learning_rate": s.training.learning_rate} for name, s in study.runs.items()}
    training = {key: value for key, value in first.training.to_dict().items() if key != "learning_rate"}
    return {
        "study": {**shared, "device": device, "snapshots": study.snapshots},
        "data": first.data.to_dict(),
        "training": training,
        **own,
    }
