"""Training without a run directory: token ids, best weights and metrics stay in memory."""

import signal
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays.backend import to_host
from engine.arrays.ragged import RaggedBatch
from engine.data.batching import split_validation
from engine.data.config import DataConfig
from engine.data.label_sets import strata
from engine.data.prepare import SPLITS, PreparedData, prepare_in
from engine.data.texts import Corpus, LabelledTexts, class_names, encode_label_sets, encode_labels
from engine.data.tokenizer import check_sentences, load_tokenizer
from engine.support.errors import UserError
from engine.training.checkpoint import load_weights
from engine.training.config import computing
from engine.training.decision import Decision
from engine.training.evaluation import first_nonfinite
from engine.training.interrupt import Interrupted
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import RunSettings
from engine.training.trainer import Trainer
from engine.types import Array, Ints1d


class NoDirectory(RunDirectory):
    """Stands for the directory of a run that has none, and collects its lines of metrics."""

    def __init__(self) -> None:
        super().__init__("")
        self.lines: list[dict[str, Any]] = []

    def append_metrics(self, lines: list[dict[str, Any]]) -> None:
        self.lines += lines

    def has_checkpoint(self) -> bool:
        return False


class InMemoryTrainer(Trainer):
    """A Trainer that keeps the best weights instead of writing checkpoints."""

    def __init__(self, network: Any, settings: RunSettings, data: PreparedData, device: str = "cpu") -> None:
        self.directory = NoDirectory()
        super().__init__(network, settings.training, data, self.directory, device)
        self.best_weights: dict[str, Array] = {}

    def save(self, folder: Path, kinds: Iterable[str]) -> None:
        if folder != self.run.best:
            return
        if first_nonfinite([p.value for p in self.parameters.values()]) is not None:
            raise self.diverged(self.progress.step, "the update is not finite", None)
        self.best_weights = {name: np.array(to_host(p.value)) for name, p in self.network.state().items()}

    def load_best(self) -> None:
        load_weights(self.network, self.best_weights, "the training")
        self.network.temperature = self.decision.temperature
        self.network.to(self.device)


def train_in_memory(
    network: Any, settings: RunSettings, data: PreparedData, device: str = "cpu", hide_bar: bool | None = None
) -> tuple[list[dict[str, Any]], Decision]:
    """Train a network, which has its best weights at the end; returns the lines of metrics and the Decision on labels.

    hide_bar: of the progress; None hides it where standard error is no terminal. Ctrl-C raises KeyboardInterrupt.
    """
    trainer = InMemoryTrainer(network, settings, data, device)
    trainer.hide_bar = hide_bar
    with computing(settings.training, device):
        try:
            trainer.train()
        except Interrupted as stop:
            signal.raise_signal(stop.exit_code - 128)  # to the handlers of the caller
            raise
        trainer.load_best()
    return trainer.directory.lines, trainer.decision


def prepare_in_memory(settings: RunSettings, corpus: Corpus) -> PreparedData:
    """PreparedData of a corpus, in arrays: neither read from a cache nor kept in one.

    Where all classes have too few texts to give one to validation, all are trained on.
    """
    data, seed = settings.data, settings.training.seed
    tokenizer = load_tokenizer(data.tokenizer) if data.tokenizer else None
    if tokenizer is not None and settings.needs_sentences():
        check_sentences(tokenizer, data.tokenizer)
    if corpus.validation is None:
        labels = classes_drawn_by(data, corpus.train)
        try:
            split_validation(labels, data.validation_fraction, seed)
        except UserError:
            data = data.replace(validation_fraction=0.0)
    with tempfile.TemporaryDirectory(prefix="wave-network-") as folder:
        found, _ = prepare_in(Path(folder), data, corpus, seed, tokenizer, None, settings.needs_sentences(), None)
        splits: Any = {split: copied(getattr(found, split)) for split in SPLITS}
        return found._replace(**splits)


def classes_drawn_by(config: DataConfig, train: LabelledTexts) -> Ints1d:
    """(B,) the class by which each text is drawn for validation."""
    classes = class_names(train)
    if not config.has_several_labels():
        return encode_labels(train.labels, classes, train)
    sets = encode_label_sets(train.labels, classes, train)
    return strata(sets, np.arange(len(sets)))


def copied(batch: RaggedBatch | None) -> RaggedBatch | None:
    """A RaggedBatch whose arrays are in memory."""
    if batch is None:
        return None
    arrays: Any = [None if array is None else np.array(array) for array in batch]
    return RaggedBatch(*arrays)
