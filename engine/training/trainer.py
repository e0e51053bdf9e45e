"""The training loop: epochs of batches, validation, best and last checkpoints, and stopping for any of four reasons.

Everything random is drawn from streams keyed by (seed, purpose, epoch or step), so that (seed, epoch, batch) is the
whole random state: a resumed run ends with the same weights, bit for bit, as one that was never interrupted.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

from engine.arrays.backend import keep_freed_memory, random_generator, to_host
from engine.arrays.ragged import RaggedBatch
from engine.cuda.kernels import uses_kernels
from engine.data.batching import epoch_batches, take
from engine.data.prepare import PreparedData
from engine.support.ahead import ahead, cores
from engine.support.errors import UserError
from engine.training.adamw import AdamW
from engine.training.checkpoint import (
    Progress,
    check_checkpoint,
    load_checkpoint,
    load_weights,
    progress_of,
    remove_others,
    save_checkpoint,
)
from engine.training.config import TrainingConfig
from engine.training.decision import Decision, decision_in, evaluate_and_decide
from engine.training.divergence import diverged
from engine.training.evaluation import Evaluation, are_right, first_nonfinite
from engine.training.interrupt import Interrupted, SignalWatch
from engine.training.observers import EpochEnd, Observer
from engine.training.reduce import ALONE, Alone, RankFailed, require_equal_weights
from engine.training.run_directory import RunDirectory
from engine.training.selection import score_of, take_if_better, validation_figures
from engine.training.shards import ShardedBatch, prepared_shards, update_in_shards
from engine.training.step import Bad, DeviceRecords, NotFinite, learning_rate, update
from engine.types import Ints1d

DROPOUT_STREAM = 103
LEAST_PAUSE = 33  # between checkpoints, in multiples of what the last one took
METRICS_LINES = 50  # written together: a file append costs as much as a small step

# Called with the trainer after every update, its gradients still in place; returns fields for the step's metrics.
Watch: TypeAlias = Callable[["Trainer"], dict[str, Any]]


class Trainer:
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
        self.network, self.config, self.data, self.run, self.device = network, config, data, run, device
        self.ranks, self.shards = ranks, config.shards or ranks.size
        self.state, self.fits, self.watch, self.observers = state or {}, fits or {}, watch, observers
        self.progress = Progress()
        self.parameters = network.parameters()
        self.optimizer = AdamW(
            self.parameters, config.beta1, config.beta2, config.epsilon, config.weight_decay, config.embedding_update
        )
        self.batch_size = config.batch_size_over(len(data.train.offsets) - 1)
        self.batches_per_epoch = -(-(len(data.train.offsets) - 1) // self.batch_size)
        self.epochs = config.epochs_over(self.batches_per_epoch)
        self.pending_metrics: list[dict[str, Any]] = []
        self.records: DeviceRecords | None = None  # of steps on a device that have not been fetched yet
        self.saved_at, self.saving_took = time.monotonic(), 0.0
        self.decision = Decision()  # of the best epoch
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
        self.optimizer.load_arrays(arrays["optimizer"], self.device)
        try:
            self.progress = progress_of(state["progress"])
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{self.run.last / 'state.json'}: its progress is damaged ({error}); restore the file or train again"
            ) from None
        if not self.ranks.is_root:
            return
        if self.progress.best_epoch:  # the end of the training needs it
            best = check_checkpoint(self.run.best, ("weights",))
            remove_others(self.run.best, best["files"])
        remove_others(self.run.last, state["files"])
        self.run.cut_metrics(self.progress.step)

    def train(self) -> None:
        """Run to the end.

        Raises Interrupted after one of SIGNALS (state saved) and UserError for non-finite numbers.
        """
        progress = self.progress
        self.network.to(self.device)
        keep_freed_memory()
        # Overflow and the like are looked for after every step, and reported with their place: warnings say less.
        with SignalWatch() as watch, np.errstate(all="ignore"):
            while progress.epoch < self.epochs and not self.patience_is_over():
                try:
                    self.train_epoch(watch)
                finally:
                    self.flush_metrics()

    def patience_is_over(self) -> bool:
        return bool(self.config.patience) and self.progress.epochs_without_gain >= self.config.patience

    def train_epoch(self, watch: SignalWatch) -> None:
        """The rest of one epoch, its validation and its checkpoints."""
        progress = self.progress
        batches = epoch_batches(self.data.train.offsets, self.batch_size, self.config.seed, progress.epoch)
        with tqdm(
            total=len(batches), initial=progress.batch, desc=f"epoch {progress.epoch + 1}/{self.epochs}",
            unit="batch", leave=True, disable=self.hide_bar if self.ranks.is_root else True, dynamic_ncols=True,
        ) as bar:  # fmt: skip
            numbered = list(enumerate(batches[progress.batch :], progress.step + 1))
            before = progress.train_seconds
            coming = ahead(numbered, self.prepared) if cores() > 1 else map(self.prepared, numbered)
            started = time.perf_counter()
            for batch, prepared, rng in coming:
                try:
                    self.train_step(batch, prepared, rng, started)
                except RankFailed:  # before anything was updated
                    self.save_last()
                    raise
                if self.pending_metrics:
                    bar.set_postfix_str(progress_text(self.pending_metrics[-1]), refresh=False)
                bar.update()
                caught = self.ranks.caught(watch.caught)
                if caught is not None and progress.batch < len(batches):
                    self.save_last()
                    raise Interrupted(caught, self.run.path)
                if progress.batch < len(batches) and self.checkpoint_is_due():
                    self.save_last()
                if len(self.pending_metrics) > METRICS_LINES:
                    self.flush_metrics(keep=1)  # the newest may still receive the epoch's validation figures
                started = time.perf_counter()
            self.fetch_records()
            seconds = progress.train_seconds - before
            validation = self.finish_epoch(bar)
            ends = progress.epoch == self.epochs or self.patience_is_over()
            steps_left = 0 if ends else (self.epochs - progress.epoch) * self.batches_per_epoch
            texts = sum(len(rows) for _, rows in numbered)
            end = EpochEnd(progress.epoch, self.epochs, progress.step, steps_left, texts, seconds, validation)
            for observer in self.observers:
                observer.epoch(end)
            caught = self.ranks.caught(watch.caught)
            if caught is not None or ends or not self.config.checkpoint_seconds or self.checkpoint_is_due():
                self.save_last()
        caught = self.ranks.caught(watch.caught)
        if caught is not None:
            raise Interrupted(caught, self.run.path)

    def prepared(self, numbered: tuple[int, Ints1d]) -> tuple[RaggedBatch | ShardedBatch, Any, Any]:
        """(batch, what the network makes of it, its generator) of a step, made while earlier steps run.

        numbered: the number of the step and its rows. The generator has drawn what the preparation needs.
        """
        step, rows = numbered
        if self.shards > 1:
            key = (self.config.seed, DROPOUT_STREAM, step)
            sharded = prepared_shards(self.network, self.data.train, rows, key, self.shards, self.ranks, self.device)
            return sharded, sharded, None
        batch = take(self.data.train, rows)
        rng = random_generator(self.config.seed, DROPOUT_STREAM, step, device=self.device)
        prepare = getattr(self.network, "prepared", None)
        return batch, batch if prepare is None else prepare(batch, rng), rng

    def train_step(self, batch: RaggedBatch | ShardedBatch, prepared: Any, rng: Any, started: float) -> None:
        """One update of what prepared() made; started (perf_counter): when this was asked for.

        Its line of metrics becomes pending: at once, or on a device when the next records are fetched.
        """
        config, progress = self.config, self.progress
        step = progress.step + 1
        rate = learning_rate(
            step, self.epochs * self.batches_per_epoch, config.learning_rate, config.warmup, config.final_learning_rate
        )
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
            self.records = self.records or DeviceRecords(done.loss, started)
            self.records.add(done, self.optimizer.control, batch, {**line, **self.watched()})
            if self.records.is_full():
                self.fetch_records()
            return
        if isinstance(batch, ShardedBatch):
            accuracy = float(done.hits) / batch.texts
        else:
            assert batch.labels is not None
            accuracy = float(are_right(to_host(done.cache.logits), batch.labels).mean())
        seconds = time.perf_counter() - started
        progress.train_seconds += seconds
        speed = batch.tokens / seconds
        measured = {
            "loss": float(done.loss),
            "accuracy": accuracy,
            "gradient_norm": done.norm,
            "tokens_per_second": speed,
        }
        self.add_metrics([{**line, **measured, **self.watched()}])

    def add_metrics(self, lines: list[dict[str, Any]]) -> None:
        """Make lines of metrics pending, and show them to the observers."""
        self.pending_metrics += lines
        for observer in self.observers:
            observer.steps(lines)

    def watched(self) -> dict[str, Any]:
        """The fields that the watch adds to a line of metrics; on a CPU its time does not count as training."""
        return {} if self.watch is None else self.watch(self)

    def fetch_records(self) -> None:
        """Wait for the steps under way on a device; their lines of metrics become pending.

        UserError if a number was not finite.
        """
        records, self.records = self.records, None
        if records is None:
            return
        lines, bad = records.fetch()
        self.add_metrics(lines)
        self.progress.train_seconds += time.perf_counter() - records.started
        if bad:
            raise self.explained(bad)

    def explained(self, bad: Bad) -> UserError:
        """The error of a step on a device that was not finite.

        Nothing was updated since, so it can be taken again to find the place.
        """
        self.network.zero_grad()  # of a later step
        rng = random_generator(self.config.seed, DROPOUT_STREAM, bad.step, device=self.device)
        own = [(bad.batch, rng)]
        if isinstance(bad.batch, ShardedBatch):
            own = bad.batch.texts_again(self.device)
        where = None
        for batch, rng in own:
            loss, cache = self.network.loss_forward(batch, train=True, rng=rng)
            if not math.isfinite(float(loss)):
                where = first_nonfinite(cache)
                break
            self.network.loss_backward(cache)
        return self.diverged(bad.step, bad.what, next(filter(None, self.ranks.gather(where)), None))

    def first_nonfinite(self, cache: Any) -> str | None:
        """The place of the first number that is not finite in a cache of this rank, or else of another one."""
        return next(filter(None, self.ranks.gather(first_nonfinite(cache))), None)

    def diverged(self, step: int, what: str, where: str | None) -> UserError:
        return diverged(self.parameters, self.run, step, what, where)

    def finish_epoch(self, bar: Any) -> Evaluation | None:
        """Validate, and keep the best weights. Returns the measures of the validation texts, if there are some."""
        progress, result = self.progress, None
        progress.epoch, progress.batch = progress.epoch + 1, 0
        started = time.perf_counter()
        self.optimizer.catch_up()
        require_equal_weights(self.ranks, progress.epoch, self.parameters)
        if self.data.validation is None:
            better = True
        else:
            texts, classes, config = self.data.validation, self.data.classes, self.config
            result, decision = evaluate_and_decide(self.network, texts, classes, config, self.ranks)
            if not math.isfinite(result.loss):
                raise self.diverged(progress.step, f"the validation loss is {result.loss}", "the probabilities")
            self.pending_metrics[-1].update(validation_figures(result, config.select))
            score = abs(score_of(result, config.select))
            bar.set_postfix_str(f"{progress_text(self.pending_metrics[-1])}, validation {score:.4f}")
            better = take_if_better(result, progress, config.select)
            if better:
                self.decision = decision
        progress.epochs_without_gain = 0 if better else progress.epochs_without_gain + 1
        if better:
            progress.best_epoch = progress.epoch
            self.save(self.run.best, ("weights",))
        progress.train_seconds += time.perf_counter() - started
        return result

    def checkpoint_is_due(self) -> bool:
        """Whether so much time has passed since the last checkpoint that another is worth its own."""
        least = self.config.checkpoint_seconds
        return bool(least) and time.monotonic() - self.saved_at >= max(least, LEAST_PAUSE * self.saving_took)

    def save_last(self) -> None:
        """Save the state to continue from."""
        started = time.monotonic()
        self.fetch_records()
        self.flush_metrics()
        self.save(self.run.last, ("weights", "optimizer"))
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - started

    def save(self, folder: Path, kinds: Iterable[str]) -> None:
        if not self.ranks.is_root:
            return
        # the newest update: no loss has seen it yet
        if first_nonfinite([p.value for p in self.parameters.values()]) is not None:
            raise self.diverged(self.progress.step, "the update is not finite", None)
        arrays = {
            "weights": {name: p.value for name, p in self.parameters.items()},
            "optimizer": self.optimizer.arrays(),
        }
        random_state = {"seed": self.config.seed, "epoch": self.progress.epoch, "batch": self.progress.batch}
        state = {**self.state, "progress": asdict(self.progress), "random": random_state}
        if folder == self.run.best:
            state.update(self.decision.state())
        twin = self.run.best if folder == self.run.last else None
        save_checkpoint(folder, self.progress.step, state, {kind: arrays[kind] for kind in kinds}, twin)

    def load_best(self) -> None:
        """Put the weights of checkpoints/best into the network."""
        state, arrays = self.ranks.of_root(lambda: load_checkpoint(self.run.best, ("weights",)))
        several = "thresholds" in state
        self.decision = decision_in(state, len(self.data.classes), several, self.run.best / "state.json")
        self.network.temperature = self.decision.temperature
        load_weights(self.network, arrays["weights"], self.run.best)
        self.network.to(self.device)

    def flush_metrics(self, keep: int = 0) -> None:
        """Write the pending lines of metrics, but for the newest `keep`."""
        cut = len(self.pending_metrics) - keep
        if cut > 0:
            if self.ranks.is_root:
                self.run.append_metrics(self.pending_metrics[:cut])
            self.pending_metrics = self.pending_metrics[cut:]


def progress_text(line: dict[str, Any]) -> str:
    """Text of the progress bar for a line of metrics."""
    return f"loss {line['loss']:.3f}, accuracy {line['accuracy']:.3f}, {line['tokens_per_second']:,.0f} tokens/s"
