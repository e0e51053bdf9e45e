"""One training of a search: in memory, on a share of a full training, and without a look at the test texts."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.arrays.backend import random_generator
from engine.data.batching import take
from engine.data.prepare import PreparedData, prepare
from engine.data.reading import open_corpus
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.support.implementation import using
from engine.training.config import computing
from engine.training.in_memory import InMemoryTrainer
from engine.training.run_settings import RunSettings
from engine.training.session import network_for

SHARE_STREAM = 106


def run_trial(
    settings: RunSettings,
    share: float,
    build_network: Callable[..., Any],
    device: str = "cpu",
    cache_dir: AnyPath | None = None,
    log: Callable[[str], object] = print,
) -> dict[str, float]:
    """Train on `share` of a full training; returns the figures that are kept of it.

    They are "validation", the accuracy or F1 of the best epoch on so many "texts", and "seconds". The seed of
    the settings draws the validation split. Token ids come from the cache that other runs fill and use.
    """
    corpus = open_corpus(settings.data, cache_dir)
    sentences = settings.needs_sentences()
    data = prepare(
        settings.data, corpus, settings.training.seed, cache_dir=cache_dir, sentences=sentences, log=log
    )._replace(test=None)
    if data.validation is None:
        raise UserError("validation_fraction: is 0, and a search chooses by validation texts; raise it (--set)")
    texts = len(data.validation.offsets) - 1
    settings, data = shortened(settings, data, share)
    with using(settings.training.implementation):
        network = network_for(settings, build_network, data)
    started = time.perf_counter()
    trainer = InMemoryTrainer(network, settings, data, device)
    trainer.hide_bar = True
    with computing(settings.training, device):
        trainer.train()
    seconds = time.perf_counter() - started
    figure = float(getattr(trainer.progress, chosen_by(settings)))
    return {"validation": figure, "texts": texts, "seconds": seconds}


def chosen_by(settings: RunSettings) -> str:
    """The field of a training's Progress that is compared: the accuracy of the best epoch, or its F1."""
    if getattr(settings.training, "select", "") == "macro_f1":
        return "best_macro_f1"
    return "best_micro_f1" if settings.data.has_several_labels() else "best_accuracy"


def shortened(settings: RunSettings, data: PreparedData, share: float) -> tuple[RunSettings, PreparedData]:
    """A share of a full training: fewer epochs, or less than one on fewer of the training texts.

    The learning rate rises and falls within these epochs. Epochs are rounded; half an epoch and more is one.
    """
    if share >= 1:
        return settings, data
    training, texts = settings.training, len(data.train.offsets) - 1
    batches = -(-texts // training.batch_size_over(texts))
    epochs = training.epochs_over(batches, len(data.classes)) * share
    if epochs < 0.5:
        rows = random_generator(training.seed, SHARE_STREAM).permutation(texts)[: max(1, round(texts * epochs))]
        data = data._replace(train=take(data.train, np.sort(rows)))
    training = training.replace(
        epochs=max(1, round(epochs)),
        many_classes_epochs=0,
        step_budget=0,
        batch_size=training.batch_size_over(texts),
        largest_batch_size=0,
    )
    return settings._replace(training=training), data
