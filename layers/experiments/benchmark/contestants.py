"""The contestants of the benchmark: "ours", "peer" (PyTorch as it is) and "compiled" (the peer by torch.compile)."""

import contextlib
import importlib.metadata
import importlib.util
import math
import os
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from engine.arrays import matmul
from engine.arrays.backend import random_generator
from engine.arrays.ragged import RaggedBatch
from engine.data.batching import take
from engine.support.errors import UserError, first_line
from engine.training.adamw import AdamW
from engine.training.step import update
from engine.types import Floats, Floats2d, Ints1d
from layers.networks import PlannedWaveNetwork as WaveNetwork
from layers.networks.text_classifier import TextClassifier

LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-3, 0.01, 1.0


class OurTraining:
    """A network with its optimizer on "cpu" or "cuda". It changes the arrays of the network that it is given."""

    def __init__(self, network: TextClassifier, device: str = "cpu") -> None:
        self.network, self.device = network.to(device), device
        self.optimizer = AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
        self.steps = 0

    def train_step(self, batch: RaggedBatch) -> Floats:
        """Do one update with a batch on the host; return the loss, 0-d on the device, without waiting for it."""
        self.steps += 1
        rng = random_generator(0, self.steps, device=self.device)
        return update(self.network, self.optimizer, batch, rng, LEARNING_RATE, CLIP_NORM).loss

    def probabilities(self, batch: RaggedBatch) -> Floats2d:
        """(B, C) class probabilities of a batch on the host."""
        return self.network.probabilities(batch)

    def end_epoch(self) -> None:
        """Let all rows of the embedding table catch up on the steps they missed, as before a network is evaluated."""
        self.optimizer.catch_up()

    def has_stopped(self) -> bool:
        """Whether a number that was not finite has stopped all further updates: on a device that raises nothing."""
        control = self.optimizer.control
        return control is not None and float(control[2]) != 0


FORMS = {"peer": "eager", "compiled": "compiled"}  # of PyTorch, by the kind of contestant
# Relative difference of the losses after an update: a contestant that differs by more does not learn the same.
AGREEMENT = {"float32": 2e-3, "tf32": 2e-2}


class Training(Protocol):
    """A contestant: an engine that trains a network."""

    network: Any
    optimizer: Any

    def train_step(self, batch: RaggedBatch) -> Any:
        """Do one update with a batch on the host; return the loss, 0-d on the device, without waiting for it."""

    def probabilities(self, batch: RaggedBatch) -> Floats2d:
        """(B, C) class probabilities of a batch on the host."""

    def end_epoch(self) -> None:
        """Do what a training does before its network is evaluated."""

    def has_stopped(self) -> bool:
        """Whether a number that was not finite has stopped all further updates."""


def peer_is_installed() -> bool:
    """Whether PyTorch can be imported (extra bench)."""
    return importlib.util.find_spec("torch") is not None


def why_no_peer(device: str) -> str | None:
    """None when PyTorch can train on the device, otherwise the reason in a few words."""
    if not peer_is_installed():
        return "PyTorch is not installed"
    if device == "cpu":
        return None
    from layers.experiments.benchmark import torch_peer

    return None if torch_peer.has_cuda() else "PyTorch is installed without a usable CUDA"


def why_not_compiled(device: str) -> str | None:
    """None when torch.compile has what it needs for the device, otherwise the reason in a few words."""
    if device != "cpu":
        return None
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")  # which torch.compile calls
    return None if shutil.which(compiler) else f"there is no C++ compiler ({compiler})"


def peer_version(kinds: Iterable[str]) -> str | None:
    """Version and forms of PyTorch among the kinds of contestants, None where it is none of them."""
    forms = [FORMS[kind] for kind in kinds if kind in FORMS]
    return f"PyTorch {importlib.metadata.version('torch')}, {' and '.join(forms)}" if forms else None


def contestant(kind: str, network: WaveNetwork, device: str) -> Training:
    """The contestant of that kind around a WaveNetwork on the host, whose arrays only "ours" changes."""
    if kind == "ours":
        return OurTraining(network, device)
    from layers.experiments.benchmark.torch_peer import PeerTraining

    return PeerTraining(network, LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM, device, kind == "compiled")


def equal_contestants(
    kinds: Sequence[str],
    network: WaveNetwork,
    device: str,
    batches: Sequence[RaggedBatch],
    precision: str,
    label: str,
    remedy: str,
) -> tuple[dict[str, Training], list[str]]:
    """({kind: contestant}, notes): with equal parameters, checked to learn alike in an update with each batch.

    Peers copy the parameters of the network, so they come first. What torch.compile cannot compile is left out with a
    note. UserError where losses differ; label and remedy: how it begins and ends.
    """
    made: dict[str, Training] = {}
    losses, notes = {}, []
    for kind in sorted(kinds, key=lambda kind: kind == "ours"):
        training = contestant(kind, network, device)
        try:
            losses[kind] = [float(training.train_step(batch)) for batch in batches]
        except Exception as error:  # a compiler can fail in any way
            if kind != "compiled":
                raise
            notes.append(f"torch.compile is left out in {precision}: {type(error).__name__}: {first_line(error)}")
            continue
        made[kind] = training
    for kind, found in losses.items():
        if not np.allclose(losses["ours"], found, rtol=AGREEMENT[precision]):
            difference = f"losses of ours are {losses['ours']}, of {kind} {found}"
            raise UserError(f"{label}: the engines do not compute the same, {difference}; {remedy}")
    return {kind: made[kind] for kind in kinds if kind in made}, notes


def padded_shape(texts: RaggedBatch, rows: Ints1d) -> tuple[int, int]:
    """(number of texts, tokens of the longest): the shape to which the peer fills a batch up."""
    return len(rows), int((texts.offsets[1:] - texts.offsets[:-1])[rows].max())


def trial_batches(texts: RaggedBatch, batches: Sequence[Ints1d]) -> list[RaggedBatch]:
    """The first batch twice, then one of another shape if there is one: torch.compile compiles no more after them."""
    other = [rows for rows in batches if padded_shape(texts, rows) != padded_shape(texts, batches[0])]
    return [take(texts, rows) for rows in (batches[0], batches[0], *other[:1])]


def require_finite(contestants: Mapping[str, Training], losses: Mapping[str, Any]) -> None:
    """Raise UserError where a contestant came to NaN or infinity. losses: {kind: the last one, 0-d}.

    This is the first look at the numbers of a measurement: the host waits for them here.
    """
    for kind, loss in losses.items():
        if not math.isfinite(float(loss)) or contestants[kind].has_stopped():
            raise UserError(
                f"{kind}: came to a number that is not finite in the measurement, the last loss is {float(loss)}"
            )


@contextlib.contextmanager
def product_precision(name: str, device: str, with_peer: bool) -> Iterator[None]:
    """Let all contestants multiply in "float32" or "tf32" while the context lasts."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(matmul.product_precision(name, device))
        if with_peer:
            from layers.experiments.benchmark import torch_peer

            stack.enter_context(torch_peer.product_precision(name))
        yield


def without_compiling(kinds: Collection[str]) -> contextlib.AbstractContextManager[Any]:
    """Context manager in which nothing may be compiled any more, where a compiled contestant is among the kinds."""
    if "compiled" not in kinds:
        return contextlib.nullcontext()
    from layers.experiments.benchmark import torch_peer

    return torch_peer.without_compiling()
