"""The state of a training: network, optimizer and progress, saved in checkpoints and taken back from them."""

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.data.prepare import PreparedData
from engine.support.errors import UserError
from engine.training.adamw import AdamW
from engine.training.averaging import WeightAverage
from engine.training.checkpoint import (
    Progress,
    check_checkpoint,
    damaged,
    load_checkpoint,
    load_weights,
    progress_of,
    remove_others,
    save_checkpoint,
)
from engine.training.config import TrainingConfig
from engine.training.decision import Decision, decision_in
from engine.training.divergence import diverged
from engine.training.evaluation import Evaluation, first_nonfinite
from engine.training.reduce import Alone
from engine.training.run_directory import RunDirectory
from engine.training.selection import take_if_better

LEAST_PAUSE = 33  # between checkpoints, in multiples of what the last one took


class RunState:
    """The network, optimizer and progress of a Trainer, and their files in the run; arguments as there."""

    def __init__(
        self,
        network: Any,
        config: TrainingConfig,
        data: PreparedData,
        run: RunDirectory,
        device: str,
        state: dict[str, Any],
        fits: dict[str, Callable[[Any], bool]],
        ranks: Alone,
    ) -> None:
        self.network, self.config, self.data, self.run, self.device = network, config, data, run, device
        self.state, self.fits, self.ranks = state, fits, ranks
        self.batch_size = config.batch_size_over(len(data.train.offsets) - 1)
        self.batches_per_epoch = -(-(len(data.train.offsets) - 1) // self.batch_size)
        self.epochs = config.epochs_over(self.batches_per_epoch, len(data.classes))
        self.peak_learning_rate = config.learning_rate_over(len(data.classes))
        # The numbers of batches of an epoch after which weights are validated, or taken into the mean.
        within = config.validations_over(self.batches_per_epoch)
        self.validated = within if data.validation is not None or config.averaging else within[-1:]
        self.progress = Progress()
        self.parameters = network.parameters()
        self.optimizer = AdamW(
            self.parameters, config.beta1, config.beta2, config.epsilon, config.weight_decay, config.embedding_update
        )
        self.average = WeightAverage(self.parameters)
        self.saved_at, self.saving_took = time.monotonic(), 0.0
        self.decision = Decision()  # of the best weights
        network.temperature = 1.0  # until load_best()

    def resume(self) -> None:
        """Continue from checkpoints/last. UserError where it, or best, is missing, damaged or of other data."""
        state, arrays = self.ranks.of_root(lambda: load_checkpoint(self.run.last, ("weights", "optimizer")))
        for key, value in self.state.items():
            saved = state.get(key)
            if not (self.fits[key](saved) if key in self.fits else saved == value):
                raise UserError(
                    f"{self.run.last / 'state.json'}: the {key.replace('_', ' ')} differs from that of this run; "
                    "resume with the same files and settings as before"
                )
        load_weights(self.network, arrays["weights"], self.run.last)
        self.network.to(self.device)
        with damaged(f"{self.run.last}: its optimizer's state"):
            self.optimizer.load_arrays(arrays["optimizer"], self.device)
        with damaged(f"{self.run.last / 'state.json'}: its progress"):
            self.progress = progress_of(state["progress"])
        if self.progress.averaged:
            state, arrays = self.ranks.of_root(lambda: load_checkpoint(self.run.last, ("average",)))
            with damaged(f"{self.run.last}: its mean of the weights"):
                self.average.load_arrays(arrays["average"], self.device)
        if not self.ranks.is_root:
            return
        if self.progress.best_epoch:  # the end of the training needs it
            best = check_checkpoint(self.run.best, ("weights",))
            remove_others(self.run.best, best["files"])
        remove_others(self.run.last, state["files"])
        self.run.cut_metrics(self.progress.step)

    def checkpoint_is_due(self) -> bool:
        """Whether so much time has passed since the last checkpoint that another is worth its own."""
        least = self.config.checkpoint_seconds
        return bool(least) and time.monotonic() - self.saved_at >= max(least, LEAST_PAUSE * self.saving_took)

    def patience_is_over(self) -> bool:
        """Whether the validations of so many epochs, as many as there are in one, have found nothing better."""
        most = self.config.patience * len(self.validated)
        return bool(most) and self.progress.validations_without_gain >= most

    def take(self, found: Evaluation | None, decision: Decision, averaged: int = 0) -> bool:
        """Make the weights of a validation the best if they are; returns whether they are.

        found: None without validation texts. averaged: how many weights they are the mean of.
        """
        better = found is None or take_if_better(found, self.progress, self.config.select)
        if better:
            self.progress.best_averaged, self.decision = averaged, decision
        return better

    def save_best(self) -> None:
        """Save the weights, or their mean if that is better, as the best."""
        with self.average.in_force() if self.progress.best_averaged else nullcontext():
            self.save(self.run.best, ("weights",))

    def save_last(self) -> None:
        """Save the state to continue from."""
        started = time.monotonic()
        self.before_saving()
        self.save(self.run.last, ("weights", "optimizer", *(("average",) if self.progress.averaged else ())))
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - started

    def before_saving(self) -> None:
        """Write what must be in the folder before a state to continue from."""

    def save(self, folder: Path, kinds: Iterable[str]) -> None:
        if not self.ranks.is_root:
            return
        # the newest update: no loss has seen it yet
        if first_nonfinite([p.value for p in self.parameters.values()]) is not None:
            raise self.diverged(self.progress.step, "the update is not finite", None)
        arrays = {
            "weights": {name: p.value for name, p in self.network.state().items()},
            "optimizer": self.optimizer.arrays(),
            "average": self.average.mean,
        }
        random_state = {"seed": self.config.seed, "epoch": self.progress.epoch, "batch": self.progress.batch}
        state = {**self.state, "progress": asdict(self.progress), "random": random_state}
        if folder == self.run.best:
            state.update(self.decision.state())
        twin = self.run.best if folder == self.run.last and not self.progress.best_averaged else None
        save_checkpoint(folder, self.progress.step, state, {kind: arrays[kind] for kind in kinds}, twin)

    def load_best(self) -> None:
        """Put the weights of checkpoints/best into the network."""
        state, arrays = self.ranks.of_root(lambda: load_checkpoint(self.run.best, ("weights",)))
        several = "thresholds" in state
        self.decision = decision_in(state, len(self.data.classes), several, self.run.best / "state.json")
        self.network.temperature = self.decision.temperature
        load_weights(self.network, arrays["weights"], self.run.best)
        self.network.to(self.device)

    def diverged(self, step: int, what: str, where: str | None) -> UserError:
        return diverged(self.parameters, self.run, step, what, where)

    def first_nonfinite(self, cache: Any) -> str | None:
        """The place of the first number that is not finite in a cache of this rank, or else of another one."""
        return self.first_place(first_nonfinite(cache))

    def first_place(self, where: str | None) -> str | None:
        """The place that this rank has found, or else another one."""
        return next(filter(None, self.ranks.gather(where)), None)
