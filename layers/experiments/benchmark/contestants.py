"""Both engines in one form: train_step(batch) → loss, probabilities(batch).

Both engines on a device: one update without waiting for it, the precision of products, and the memory taken.
"""

import contextlib
import importlib.util
import math

import numpy as np

from engine.arrays import backend
from engine.arrays import matmul as products
from engine.arrays.backend import random_generator
from engine.benchmark.machine import release_memory
from engine.data.batching import take
from engine.support.errors import UserError, first_line
from engine.training.adamw import AdamW
from engine.training.step import update
from layers.experiments.benchmark import workloads
from layers.experiments.benchmark.workloads import CLASSES

LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-3, 0.01, 1.0


class OurTraining:
    """A WaveNetwork with this project's AdamW and clipping."""

    def __init__(self, network):
        self.network = network
        self.optimizer = AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
        self.steps = 0

    def train_step(self, batch):
        """One update; returns the loss."""
        self.steps += 1
        rng = random_generator(0, self.steps)
        return float(update(self.network, self.optimizer, batch, rng, LEARNING_RATE, CLIP_NORM).loss)

    def probabilities(self, batch):
        return self.network.probabilities(batch)


def peer_is_installed():
    """Whether PyTorch can be imported (extra bench)."""
    return importlib.util.find_spec("torch") is not None


def contestants_of(network, with_peer):
    """{"ours": …, "peer": …} around one WaveNetwork; the peer takes copies of its parameters, so it comes first."""
    made = {}
    if with_peer:
        from layers.experiments.benchmark.torch_peer import PeerTraining

        made["peer"] = PeerTraining(network, LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM)
    return {"ours": OurTraining(network), **made}


NETWORK = "paper"
AGREEMENT = {
    "float32": 2e-3,
    "tf32": 2e-2,
}  # of the losses of all engines after an update: what does not learn the same is no peer


class OurDeviceTraining:
    """A WaveNetwork with this project's AdamW and clipping on "cpu" or "cuda"."""

    def __init__(self, network, device):
        self.network, self.device = network.to(device), device
        self.optimizer = AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
        self.steps = 0

    def train_step(self, batch):
        """One update with a batch on the host; returns the loss, 0-d on the device, without waiting for it."""
        self.steps += 1
        rng = backend.random_generator(0, self.steps, device=self.device)
        return update(self.network, self.optimizer, batch, rng, LEARNING_RATE, CLIP_NORM).loss

    def end_epoch(self):
        """What a training does before the network is measured: rows of the table catch up on the steps they missed."""
        self.optimizer.catch_up()

    def has_stopped(self):
        """Whether a number that was not finite has stopped all further updates, as it does on a device without a word."""
        control = self.optimizer.control
        return control is not None and float(control[2]) != 0


class PeerDeviceTraining:
    """The peer in the same form. kind: "eager" or "compiled"."""

    def __init__(self, network, device, kind):
        from layers.experiments.benchmark.torch_peer import PeerTraining

        self.training = PeerTraining(network, LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM, device, kind == "compiled")
        self.train_step = self.training.update

    def end_epoch(self):
        """Its optimizer is dense."""

    def has_stopped(self):
        """It never does: what is not finite spreads to all later losses."""
        return False


def why_no_peer(device):
    """None when PyTorch can train on the device, otherwise the reason in a few words."""
    if not peer_is_installed():
        return "PyTorch is not installed"
    from layers.experiments.benchmark import torch_peer as peer

    return "PyTorch is installed without a usable CUDA" if device == "cuda" and not peer.has_cuda() else None


def contestant(kind, network, device):
    """The engine "ours", "eager" or "compiled" around a WaveNetwork on the host, of which only "ours" changes the arrays."""
    return OurDeviceTraining(network, device) if kind == "ours" else PeerDeviceTraining(network, device, kind)


def gpu_contestants_of(kinds, device, batches, precision):
    """({kind: engine}, notes): with equal parameters, checked to learn alike in an update with each batch.

    Peers copy the parameters and come first. What torch.compile cannot compile is left out with a note. UserError where losses differ.
    """
    network = workloads.build(NETWORK, CLASSES)
    engines, losses, notes = {}, {}, []
    for kind in sorted(kinds, key=lambda kind: kind == "ours"):
        engine = contestant(kind, network, device)
        try:
            losses[kind] = [float(engine.train_step(batch)) for batch in batches]
        except Exception as error:  # a compiler can fail in any way
            if kind != "compiled":
                raise
            notes.append(f"torch.compile is left out in {precision}: {type(error).__name__}: {first_line(error)}")
            continue
        engines[kind] = engine
    for kind, of_kind in losses.items():
        if not np.allclose(losses["ours"], of_kind, rtol=AGREEMENT[precision]):
            found = f"losses of ours are {losses['ours']}, of {kind} {of_kind}"
            raise UserError(f"{precision}: the engines do not compute the same, {found}; measure with --no-peer")
    return {kind: engines[kind] for kind in kinds if kind in engines}, notes


def padded_shape(texts, rows):
    """(number of texts, tokens of the longest): the shape to which the peer fills a batch up."""
    return len(rows), int((texts.offsets[1:] - texts.offsets[:-1])[rows].max())


def trial_batches(texts, batches):
    """The first batch twice, then one of another shape if there is one: what torch.compile compiles anew, it compiles here."""
    other = [rows for rows in batches if padded_shape(texts, rows) != padded_shape(texts, batches[0])]
    return [take(texts, rows) for rows in (batches[0], batches[0], *other[:1])]


def require_finite(engines, losses):
    """UserError where an engine came to NaN or infinity. losses: {kind: 0-d, the last one}; the first look at what was computed."""
    for kind, loss in losses.items():
        if not math.isfinite(float(loss)) or engines[kind].has_stopped():
            raise UserError(
                f"{kind}: came to a number that is not finite in the measurement, the last loss is {float(loss)}"
            )


@contextlib.contextmanager
def product_precision(name, device, with_peer):
    """Both engines multiply in "float32" or "tf32" while the context lasts."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(products.product_precision(name, device))
        if with_peer:
            from layers.experiments.benchmark import torch_peer as peer

            stack.enter_context(peer.product_precision(name))
        yield


def without_compiling(kinds):
    """Context manager in which nothing may be compiled any more, where a compiled contestant is among them."""
    if "compiled" not in kinds:
        return contextlib.nullcontext()
    from layers.experiments.benchmark import torch_peer as peer

    return peer.without_compiling()


def peak_of_training(kind, device, batches):
    """Peak bytes on the device of a training from its start, through one update with each batch.

    Ours: what CuPy's pool holds, freed blocks among it; the peer: what its tensors took at most. On "cpu" ours is the peak of
    the whole process, whatever else ran in it, and the peer has none (None): figures to try the benchmark out, not to cite.
    """
    memory = peak_memory_of(kind, device)
    release_memory(device)
    engine = contestant(kind, workloads.build(NETWORK, CLASSES), device)
    losses = [engine.train_step(batch) for batch in batches]
    require_finite({kind: engine}, {kind: losses[-1]})
    return memory()


def peak_memory_of(kind, device):
    """A function that gives the peak bytes of an engine from now on."""
    if kind == "ours":
        return lambda: backend.peak_memory_bytes(device)
    if device == "cpu":
        return lambda: None
    from layers.experiments.benchmark import torch_peer as peer

    peer.release_memory()
    return peer.peak_memory_bytes
