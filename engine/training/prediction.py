"""Trained runs that label texts: each by itself, or several by the mean of their class probabilities (ensemble.py)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays.backend import keep_freed_memory
from engine.arrays.ragged import RaggedBatch
from engine.data.encoder import Encoder
from engine.data.texts import listed
from engine.support.ahead import ahead, cores
from engine.support.errors import UserError
from engine.support.settings import Settings
from engine.training.class_factors import mean_factors
from engine.training.config import computing
from engine.training.evaluation import predict_probabilities
from engine.training.trained_run import OpenRun, classes_of, open_run
from engine.types import Floats1d, Floats2d

BATCH = 1024  # texts at a time
THREADS = 2


def common_classes(paths: Sequence[str | Path]) -> list[str]:
    """The names of the classes of M ≥ 1 run directories, from small files: before texts are read and networks loaded.

    UserError where a path is no trained run, and where the runs have learned different classes.
    """
    classes = classes_of(paths[0])
    for path in paths[1:]:
        others = classes_of(path)
        if others != classes:
            here, there = (listed(sorted(set(a) - set(b))) or "none" for a, b in ((others, classes), (classes, others)))
            raise UserError(
                f"{path}: has learned other classes than {paths[0]} (only here: {here}; only there: {there}); "
                "take runs of one corpus"
            )
    return classes


def require_kind(path: str | Path, several: bool, expected: bool, first: str | Path) -> None:
    """Raise UserError where a run may give a text several labels and the first run may not, or the other way round."""
    if several != expected:
        here, there = ("several" if kind else "one" for kind in (several, expected))
        raise UserError(f"{path}: labels={here}, but {first} has labels={there}; take runs of one kind")


def mean_thresholds(thresholds: Sequence[Floats1d | None]) -> Floats1d | None:
    """The mean of the thresholds of runs; None where a text has one label."""
    found = [own for own in thresholds if own is not None]
    return np.mean(found, axis=0) if found else None


def chosen(probabilities: Floats1d, thresholds: Floats1d) -> list[int]:
    """The classes whose probability reaches its threshold, the most probable first. Both (C,)."""
    return [c for c in np.argsort(-probabilities, kind="stable").tolist() if probabilities[c] >= thresholds[c]]


class Predictor:
    """M ≥ 1 trained runs of the same classes, which label texts by the mean of their class probabilities.

        with Predictor(["runs/a"], CONFIGS, build_network) as predictor:
            probabilities = predictor.probabilities(["profits rose in the third quarter"])
            label = predictor.classes[int(decide(probabilities, predictor.factors)[0])]

    thresholds: (C,), where a text may have several labels, the probabilities from which it gets them, the mean of those
    of the runs; else None. factors: (C,), where it has one, those of decide(), their geometric mean, or None. Within
    the context matrix products have the threads and the precision of the first run.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        network_classes: Mapping[str, type[Settings]],
        build_network: Callable[..., Any],
        device: str = "cpu",
    ) -> None:
        """paths: run directories. UserError as in common_classes(), and for a run that is damaged."""
        keep_freed_memory()
        classes = common_classes(paths)
        runs = [open_run(path, network_classes, build_network, device) for path in paths]
        for path, run in zip(paths, runs):
            require_kind(path, run.thresholds is not None, runs[0].thresholds is not None, paths[0])
        self.take(classes, runs, device)

    def take(self, classes: list[str], runs: list[OpenRun], device: str) -> None:
        self.classes, self.device, self.runs = classes, device, runs
        self.thresholds = mean_thresholds([run.thresholds for run in runs])
        self.factors = mean_factors([run.factors for run in runs], len(classes))
        self.encoders = [Encoder(run.vocabulary, run.settings.data.max_tokens) for run in runs]
        self.context = ExitStack()

    @classmethod
    def of_run(cls, run: OpenRun, device: str = "cpu") -> "Predictor":
        """The Predictor of a run that is open."""
        predictor = cls.__new__(cls)
        predictor.take(run.classes, [run], device)
        return predictor

    def __enter__(self) -> "Predictor":
        self.context.enter_context(computing(self.runs[0].settings.training, self.device))
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def probabilities(self, texts: Sequence[str]) -> Floats2d:
        """(N, C) float64 class probabilities of N texts, the columns as in `classes`."""
        return self.of_batches(self.encoded(texts))

    def encoded(self, texts: Sequence[str]) -> list[RaggedBatch]:
        """The texts as each run encodes them."""
        return [encoder.encode(texts) for encoder in self.encoders]

    def of_batches(self, batches: Iterable[RaggedBatch]) -> Floats2d:
        """probabilities() of encoded()."""
        total: Any = 0
        for run, batch in zip(self.runs, batches):
            with computing(run.settings.training, self.device):
                total = total + predict_probabilities(run.network, batch, BATCH).astype(np.float64)
        mean: Floats2d = total / len(self.runs)
        return mean

    def of_blocks(self, blocks: Iterable[list[str]]) -> Iterator[tuple[list[str], Floats2d]]:
        """(texts, probabilities) of each block of texts, in order.

        The next block is read and encoded meanwhile, and computed where there is a core for it.
        """
        encoded = ((texts, self.encoded(texts)) for texts in blocks)
        return ahead(encoded, lambda block: (block[0], self.of_batches(block[1])), self.threads())

    def threads(self) -> int:
        """The number of blocks that are computed side by side: one where products take several cores themselves."""
        settings = {(s.threads, s.implementation, s.precision) for s in (run.settings.training for run in self.runs)}
        alone = self.device == "cuda" or len(settings) > 1 or self.runs[0].settings.training.threads != 1
        return 1 if alone else min(THREADS, cores())
