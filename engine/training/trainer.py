"""The training loop: epochs of batches, validation, best and last checkpoints, and stopping for any of four reasons.

Everything random is drawn from streams keyed by (seed, purpose, epoch or step), so that (seed, epoch, batch) is the
whole random state: a resumed run ends with the same weights, bit for bit, as one that was never interrupted.
"""

import math
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, TypeAlias

import numpy as np

from engine.arrays.backend import keep_freed_memory, random_generator
from engine.arrays.ragged import RaggedBatch
from engine.cuda.kernels import uses_kernels
from engine.data.batching import epoch_batches, take
from engine.data.prepare import PreparedData
from engine.support.ahead import ahead, cores
from engine.support.progress_bar import progress_bar
from engine.training.config import TrainingConfig
from engine.training.decision import Decision, evaluate_and_decide
from engine.training.divergence import place_again
from engine.training.evaluation import Evaluation
from engine.training.interrupt import Interrupted, SignalWatch
from engine.training.observers import EpochEnd, EpochPart, Observer
from engine.training.reduce import ALONE, Alone, RankFailed, require_equal_weights
from engine.training.run_directory import RunDirectory
from engine.training.run_state import RunState
from engine.training.selection import score_of, validation_figures
from engine.training.shards import ShardedBatch, prepared_shards, update_in_shards
from engine.training.step import NotFinite, learning_rate, update
from engine.training.step_metrics import StepMetrics, measured_on_host, progress_text
from engine.types import Ints1d

DROPOUT_STREAM = 103
METRICS_LINES = 50  # written together: a file append costs as much as a small step

# Called with the trainer after every update, its gradients still in place; returns fields for the step's metrics.
Watch: TypeAlias = Callable[["Trainer"], dict[str, Any]]


class Trainer(RunState):
    """Trains any network that keeps the contract of engine.layer on a PreparedData, into a RunDirectory."""

    hide_bar: bool | None = None  # hide the bar of an epoch; None: where standard error is no terminal

    def __init__(
        self,
        network: Any,
        config: TrainingConfig,
        data: PreparedData,
        run: RunDirectory,
        device: str = "cpu",
        state: dict[str, Any] | None = None,
        fits: dict[str, Callable[[Any], bool]] | None = None,
        watch: Watch | None = None,
        ranks: Alone = ALONE,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Prepare the training of a network.

        state: further JSON-able values to keep in every checkpoint (config, labels, data fingerprint).
        fits: {key of state: function that says whether the value in a checkpoint will do}; the others must be equal.
        ranks: compute the shards of each batch; all hold the same weights, and the root alone writes.
        """
        super().__init__(network, config, data, run, device, state or {}, fits or {}, ranks)
        self.shards, self.watch, self.observers = config.shards or ranks.size, watch, observers
        self.metrics = StepMetrics(run, ranks, observers)

    def train(self) -> None:
        """Run to the end.

        Raises Interrupted after one of SIGNALS (state saved) and UserError for non-finite numbers.
        """
        progress = self.progress
        if not progress.step and hasattr(self.network, "learn_counts"):
            self.network.learn_counts(self.data.train, self.data.vocabulary.first_char_ngram())
        self.network.to(self.device)
        keep_freed_memory()
        # Overflow and the like are looked for after every step, and reported with their place: warnings say less.
        with SignalWatch() as watch, np.errstate(all="ignore"):
            while progress.epoch < self.epochs and not self.patience_is_over():
                try:
                    self.train_epoch(watch)
                finally:
                    self.metrics.flush()

    def train_epoch(self, watch: SignalWatch) -> None:
        """The rest of one epoch, its validations and its checkpoints, or a part of it where patience ends there."""
        progress = self.progress
        batches = epoch_batches(self.data.train.offsets, self.batch_size, self.config.seed, progress.epoch)
        hidden = self.hide_bar if self.ranks.is_root else True
        name = f"epoch {progress.epoch + 1}/{self.epochs}"
        shown = {"desc": name, "total": len(batches), "initial": progress.batch, "unit": "batch", "dynamic_ncols": True}
        with progress_bar(hidden, **shown) as bar:
            part = EpochPart(progress.train_seconds)
            numbered = takewhile(lambda _: not part.ends, enumerate(batches[progress.batch :], progress.step + 1))
            coming = ahead(numbered, self.prepared) if cores() > 1 else map(self.prepared, numbered)
            started = time.perf_counter()
            for batch, prepared, rng in coming:
                if part.ends:  # what was made ahead
                    continue
                try:
                    self.train_step(batch, prepared, rng, started)
                except RankFailed:  # before anything was updated
                    self.save_last()
                    raise
                if self.metrics.pending:
                    bar.set_postfix_str(progress_text(self.metrics.pending[-1]), refresh=False)
                bar.update()
                part.texts += batch.texts
                if progress.batch in self.validated:
                    self.end_part(part, bar)
                    if part.ends or not progress.batch:  # of the next epoch
                        continue
                caught = self.ranks.caught(watch.caught)
                if caught is not None:
                    self.save_last()
                    raise Interrupted(caught, self.run.path)
                if self.checkpoint_is_due():
                    self.save_last()
                if len(self.metrics.pending) > METRICS_LINES:
                    self.metrics.flush(keep=1)  # the newest may still receive the epoch's validation figures
                started = time.perf_counter()
            caught = self.ranks.caught(watch.caught)
            if caught is not None or part.ends or not self.config.checkpoint_seconds or self.checkpoint_is_due():
                self.save_last()
        caught = self.ranks.caught(watch.caught)
        if caught is not None:
            raise Interrupted(caught, self.run.path)

    def prepared(self, numbered: tuple[int, Ints1d]) -> tuple[RaggedBatch | ShardedBatch, Any, Any]:
        """(batch, what the network makes of it, its generator) of a step, made while earlier steps run.

        numbered: the number of the step and its rows. The generator has drawn what the preparation needs.
        """
        step, rows = numbered
        key = (self.config.seed, DROPOUT_STREAM, step)
        if self.shards > 1:
            sharded = prepared_shards(self.network, self.data.train, rows, key, self.shards, self.ranks, self.device)
            return sharded, sharded, None
        batch, rng = take(self.data.train, rows), random_generator(*key, device=self.device)
        prepare = getattr(self.network, "prepared", None)
        return batch, batch if prepare is None else prepare(batch, rng), rng

    def train_step(self, batch: RaggedBatch | ShardedBatch, prepared: Any, rng: Any, started: float) -> None:
        """One update of what prepared() made; started (perf_counter): when this was asked for.

        Its line of metrics becomes pending: at once, or on a device when the next records are fetched.
        """
        config, progress = self.config, self.progress
        step = progress.step + 1
        steps = self.epochs * self.batches_per_epoch
        rate = learning_rate(step, steps, self.peak_learning_rate, config.warmup, config.final_learning_rate)
        line = {"step": step, "epoch": progress.epoch + 1, "loss": None, "accuracy": None, "learning_rate": rate}
        try:
            if isinstance(batch, ShardedBatch):
                done = update_in_shards(self.network, self.optimizer, batch, rate, config.clip_norm, self.ranks)
            else:
                done = update(self.network, self.optimizer, prepared, rng, rate, config.clip_norm)
        except NotFinite as error:
            raise self.diverged(step, error.what, self.first_nonfinite(error.cache)) from None
        progress.step, progress.batch = step, progress.batch + 1
        progress.tokens += batch.tokens
        if uses_kernels(done.loss):
            if self.metrics.record(done, self.optimizer.control, batch, {**line, **self.watched()}, started):
                self.fetch_records()
            return
        seconds, measured = measured_on_host(done, batch, started)
        progress.train_seconds += seconds
        self.metrics.add([{**line, **measured, **self.watched()}])

    def watched(self) -> dict[str, Any]:
        """The fields that the watch adds to a line of metrics; on a CPU its time does not count as training."""
        return {} if self.watch is None else self.watch(self)

    def fetch_records(self) -> None:
        """Wait for the steps under way on a device; their lines of metrics become pending.

        UserError if a number was not finite.
        """
        seconds, bad = self.metrics.fetch()
        self.progress.train_seconds += seconds
        if bad:
            rng = random_generator(self.config.seed, DROPOUT_STREAM, bad.step, device=self.device)
            where = place_again(self.network, bad.batch, rng, self.device)
            raise self.diverged(bad.step, bad.what, self.first_place(where))

    def end_part(self, part: EpochPart, bar: Any) -> None:
        """End an epoch or a part of it, and perhaps the training: validate, and tell the observers."""
        progress, batches = self.progress, self.batches_per_epoch
        self.fetch_records()
        seconds = progress.train_seconds - part.before
        if progress.batch == batches:
            progress.epoch, progress.batch = progress.epoch + 1, 0
        found, averaged = self.validate(bar)
        part.ends = progress.epoch == self.epochs or self.patience_is_over()
        steps_left = 0 if part.ends else (self.epochs - progress.epoch) * batches - progress.batch
        done = progress.epochs(batches)
        end = EpochEnd(done, self.epochs, progress.step, steps_left, part.texts, seconds, found, averaged)
        for observer in self.observers:
            observer.epoch(end)
        part.texts, part.before = 0, progress.train_seconds

    def validate(self, bar: Any) -> tuple[Evaluation | None, Evaluation | None]:
        """Validate the weights and their mean, and keep the best. Returns the measures of both, as far as there are."""
        progress, averaged = self.progress, None
        started = time.perf_counter()
        self.optimizer.catch_up()
        require_equal_weights(self.ranks, progress.epochs(self.batches_per_epoch), self.parameters)
        if progress.step > (1 - self.config.averaging) * self.epochs * self.batches_per_epoch:
            progress.averaged += 1
            self.average.add(progress.averaged)
        found, decision = self.measured()
        gain = self.take(found, decision)
        if progress.averaged > 1:
            with self.average.in_force():
                averaged, decision = self.measured()
            gain = self.take(averaged, decision, progress.averaged) or gain
        progress.validations_without_gain = 0 if gain else progress.validations_without_gain + 1
        if gain:
            progress.best_epoch = progress.epochs(self.batches_per_epoch)
            self.save_best()
        if found is not None:
            line, select = self.metrics.pending[-1], self.config.select
            line.update(validation_figures(found, select))
            bar.set_postfix_str(f"{progress_text(line)}, validation {abs(score_of(found, select)):.4f}")
            line.update({} if averaged is None else validation_figures(averaged, select, "averaged"))
        progress.train_seconds += time.perf_counter() - started
        return found, averaged

    def measured(self) -> tuple[Evaluation | None, Decision]:
        """(measures of the validation texts, None without such; what was chosen on them to decide by).

        UserError where the loss is not finite.
        """
        texts = self.data.validation
        if texts is None:
            return None, Decision()
        found, decision = evaluate_and_decide(self.network, texts, self.data.classes, self.config, self.ranks)
        if not math.isfinite(found.loss):
            raise self.diverged(self.progress.step, f"the validation loss is {found.loss}", "the probabilities")
        return found, decision

    def before_saving(self) -> None:
        self.fetch_records()
        self.metrics.flush()
