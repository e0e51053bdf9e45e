"""Observers of a training: a line an epoch for logs without a terminal, and TensorBoard curves.

A Trainer hands them its lines of metrics as they come, and an EpochEnd after each epoch and each validation within.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from engine.support.command import install_extra
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.support.text import duration, epochs_text
from engine.training.evaluation import Evaluation
from engine.training.selection import score_of

CURVES = ("loss", "accuracy", "learning_rate", "gradient_norm", "tokens_per_second")  # of a step


class EpochEnd(NamedTuple):
    """The state of a training after an epoch, or after a validation within one.

    epoch: how many have been trained, with a fraction within one; epochs: the most that there can be; step: of the last
    update; steps_left: at most, 0 when the training ends here; texts, seconds: trained on by this process since the
    last EpochEnd or the beginning of the epoch, and how long that took without validation and checkpoints; validation:
    None without validation texts; averaged: that of the mean of weights, None while there is none.
    """

    epoch: float
    epochs: int
    step: int
    steps_left: int
    texts: int
    seconds: float
    validation: Evaluation | None
    averaged: Evaluation | None = None


@dataclass
class EpochPart:
    """The training of a process since the beginning of an epoch, or a validation within.

    before: seconds of training until then; ends: whether the training ends with it.
    """

    before: float
    texts: int = 0
    ends: bool = False


class Observer(Protocol):
    """An object that a Trainer tells what happens."""

    def steps(self, lines: Sequence[dict[str, Any]]) -> None:
        """Take lines of metrics.jsonl: that of one step, on a device those of several or of none."""

    def epoch(self, end: EpochEnd) -> None:
        """Take the end of an epoch or of a part of one, whose steps have all been told."""


class EpochLines:
    """An Observer that gives a log one line for an epoch and for each validation within."""

    def __init__(self, log: Callable[[str], object]) -> None:
        self.log = log
        self.started = time.perf_counter()
        self.losses: list[float] = []
        self.taken = 0  # steps of this process

    def steps(self, lines: Sequence[dict[str, Any]]) -> None:
        self.losses += [line["loss"] for line in lines]

    def epoch(self, end: EpochEnd) -> None:
        self.taken += len(self.losses)
        parts = [f"epoch {epochs_text(end.epoch):>{len(str(end.epochs))}}/{end.epochs}: loss {mean(self.losses):.4f}"]
        self.losses = []
        if end.validation is not None:
            name = "accuracy" if end.validation.micro_f1 is None else "micro F1"
            parts.append(f"validation {name} {100 * score_of(end.validation, 'accuracy'):.2f} %")
            parts.append(f"macro F1 {100 * end.validation.macro_f1:.2f} %")
        if end.averaged is not None:
            parts.append(f"{100 * score_of(end.averaged, 'accuracy'):.2f} % with the mean of weights")
        parts.append(f"{end.texts / max(end.seconds, 1e-9):,.0f} texts/s")
        if end.steps_left and self.taken:
            left = (time.perf_counter() - self.started) / self.taken * end.steps_left
            parts.append(f"{duration(left)} left")
        elif end.epoch < end.epochs:
            parts.append("stops early (patience)")
        with contextlib.suppress(OSError):  # of a pipe or a terminal that has been closed: training goes on
            self.log(", ".join(parts))


def mean(values: Sequence[float]) -> float:
    """The mean of some values; NaN of none."""
    return sum(values) / len(values) if values else float("nan")


class TensorBoard:
    """An Observer that writes curves for TensorBoard into folder/name. To be used as a context, which closes its file.

    UserError where tensorboardX is missing or the folder cannot be written.
    """

    def __init__(self, folder: AnyPath, name: str) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise UserError(f"--tensorboard needs tensorboardX: {install_extra('tensorboard')}") from None
        self.make, self.folder = SummaryWriter, Path(folder, name)
        self.writer: Any = None
        with self.errors():
            self.folder.mkdir(parents=True, exist_ok=True)

    def steps(self, lines: Sequence[dict[str, Any]]) -> None:
        with self.errors():
            if self.writer is None and lines:  # what an interrupted process wrote from this step on does not count
                first = lines[0]["step"]
                self.writer = self.make(str(self.folder), purge_step=first, filename_suffix=f".{first}")
            for line in lines:
                for name in CURVES:
                    self.writer.add_scalar(f"training/{name}", line[name], line["step"])

    def epoch(self, end: EpochEnd) -> None:
        if self.writer is None or end.validation is None:
            return
        with self.errors():
            for kind in ("validation", "averaged"):
                for name in ("accuracy", "macro_f1", "loss", "micro_f1"):
                    value = getattr(getattr(end, kind), name, None)
                    if value is not None:
                        self.writer.add_scalar(f"{kind}/{name}", value, end.step)

    @contextlib.contextmanager
    def errors(self) -> Any:
        """Turn errors of the file system into one line."""
        try:
            yield
        except OSError as error:
            remedy = "see to its permissions and the free space, or name another folder"
            raise UserError(f"--tensorboard {self.folder}: cannot be written ({error.strerror}); {remedy}") from error

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()
