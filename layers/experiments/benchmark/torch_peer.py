"""The Wave Network in PyTorch as people write it: padded batches, polar coordinates, autograd, dense AdamW.

It is what the public implementations do (embedding, two linear maps, G·exp(iα) by atan2, layer norm, mean over the
text): the peer of the benchmark, never part of a training. It computes what a WaveNetwork with the magnitude readout
does, but for its ε, without which autograd returns NaN. PyTorch is imported with this module: extra `bench`.
"""

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.arrays.ragged import RaggedBatch
from engine.types import Floats2d
from layers.networks import PlannedWaveNetwork as WaveNetwork
from layers.networks.configs import LEVELS
from layers.networks.parts import LayerNorm, Linear

Polar: TypeAlias = tuple[Tensor, Tensor]  # magnitude and phase of a wave

EPSILON = 1e-8  # keeps sqrt and atan2 off their singular points
COMPILER = "inductor"  # PyTorch's own; tests take one that needs no C++ compiler


class PeerNetwork(nn.Module):
    """The network of a WaveNetwork with one block and the magnitude readout, holding copies of its parameters.

    real_pairs: waves are pairs of real tensors, not complex ones, for which torch.compile has no code on a CUDA device.
    """

    def __init__(self, network: WaveNetwork, real_pairs: bool = False) -> None:
        super().__init__()
        self.magnitude = magnitude_of_pairs if real_pairs else magnitude_of_complex
        config, block = network.config, network.blocks[0]
        if config.heads > 1:
            raise ValueError("the peer is a single network")
        if (config.blocks, config.readout, config.scope, config.pooling) != (1, "magnitude", "dimension", "mean"):
            raise ValueError(
                "the peer has one block, the magnitude readout, magnitudes per dimension and mean pooling only"
            )
        if block.first_variant is None or block.second_variant is None or block.wave_norm is None:
            raise ValueError(
                "the peer has blocks of the form normed with a linear map of the embeddings in each branch"
            )
        if config.variants != "embeddings" or config.wave != "full":
            raise ValueError("the peer has waves of linear maps of the embeddings, and no controls")
        self.by_sentence = [level == "sentence" for level in LEVELS[config.levels]]
        self.positions = positions_like(network)
        self.operation, self.wave_residual = config.operation, config.wave_residual
        self.embedding = nn.Embedding.from_pretrained(torch.tensor(network.embedding.table.value), freeze=False)
        self.first, self.second = linear_like(block.first_variant), linear_like(block.second_variant)
        self.wave_norm = norm_like(block.wave_norm)
        self.feed_forward = None
        if block.feed_forward and block.feed_forward_norm:
            activation = {"gelu": nn.GELU, "relu": nn.ReLU}[config.activation]
            self.feed_forward = nn.Sequential(
                linear_like(block.feed_forward.expand), activation(), linear_like(block.feed_forward.contract)
            )
            self.feed_forward_norm = norm_like(block.feed_forward_norm)
        self.classifier = linear_like(network.classifier)

    def forward(self, ids: Tensor, mask: Tensor, sentences: Tensor | None = None) -> Tensor:
        """ids: (B, L) token ids, mask: (B, L) 1 for a token and 0 for padding → logits (B, C).

        sentences: (B, L) the number of the sentence of each token in its text, where the network asks for it.
        """
        mask = mask.unsqueeze(-1)
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions.weight[: x.shape[1]]
        first, second = (sentences if wanted else None for wanted in self.by_sentence)
        A, B = to_polar(self.first(x) * mask, first), to_polar(self.second(x) * mask, second)
        y = self.magnitude(A, B, self.operation)
        y = self.wave_norm(y + x if self.wave_residual else y)
        if self.feed_forward is not None:
            y = self.feed_forward_norm(y + self.feed_forward(y))
        logits: Tensor = self.classifier((y * mask).sum(dim=1) / mask.sum(dim=1))
        return logits


def to_polar(w: Tensor, sentences: Tensor | None = None) -> Polar:
    """(B, L, d) → the global magnitude of each text and dimension (B, 1, d) and the phase of each token (B, L, d).

    sentences: (B, L), with it the magnitude is that of the sentence of each token (B, L, d).
    """
    if sentences is None:
        squares = torch.sum(w * w, dim=1, keepdim=True)
    else:
        index = sentences.unsqueeze(-1).expand_as(w)
        of_sentences = torch.zeros_like(w).scatter_add(1, index, w * w)  # a text has no more sentences than tokens
        squares = torch.gather(of_sentences, 1, index)
    G = torch.sqrt(squares + EPSILON)
    ratio = w / G
    return G, torch.atan2(torch.sqrt(torch.clamp(1 - ratio**2, min=EPSILON)), ratio)


COMPLEX: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "interference": lambda A, B: A + B,
    "modulation": lambda A, B: A * B,
    "correlation": lambda A, B: A * B.conj(),
}
PAIRS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "interference": lambda a_re, a_im, b_re, b_im: (a_re + b_re, a_im + b_im),
    "modulation": lambda a_re, a_im, b_re, b_im: (a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re),
    "correlation": lambda a_re, a_im, b_re, b_im: (a_re * b_re + a_im * b_im, a_im * b_re - a_re * b_im),
}


def magnitude_of_complex(a: Polar, b: Polar, operation: str) -> Tensor:
    """|A ∘ B| of two waves, by complex tensors."""
    A, B = (G * torch.exp(1j * phase) for G, phase in (a, b))
    return torch.abs(COMPLEX[operation](A, B))


def magnitude_of_pairs(a: Polar, b: Polar, operation: str) -> Tensor:
    """|A ∘ B| of two waves, by pairs of real tensors."""
    (a_re, a_im), (b_re, b_im) = ((G * torch.cos(phase), G * torch.sin(phase)) for G, phase in (a, b))
    return torch.hypot(*PAIRS[operation](a_re, a_im, b_re, b_im))


def linear_like(layer: Linear) -> nn.Linear:
    """A PyTorch layer with copies of the parameters."""
    inputs, outputs = layer.weight.value.shape
    made = nn.Linear(inputs, outputs, bias=layer.bias is not None, dtype=torch.tensor(layer.weight.value).dtype)
    with torch.no_grad():
        made.weight.copy_(torch.tensor(layer.weight.value.T))
        if layer.bias is not None:
            made.bias.copy_(torch.tensor(layer.bias.value))
    return made


def positions_like(network: WaveNetwork) -> nn.Embedding | None:
    """A PyTorch table with a copy of the positions; sinusoids are not trained."""
    if network.position_encoding is None:
        return None
    table = torch.tensor(network.position_encoding.values(network.embedding.table.value))
    return nn.Embedding.from_pretrained(table, freeze=network.position_encoding.table is None)


def norm_like(layer: LayerNorm) -> nn.LayerNorm:
    """A PyTorch layer with copies of the parameters."""
    made = nn.LayerNorm(len(layer.gain.value), eps=1e-5, dtype=torch.tensor(layer.gain.value).dtype)
    with torch.no_grad():
        made.weight.copy_(torch.tensor(layer.gain.value))
        made.bias.copy_(torch.tensor(layer.bias.value))
    return made


def padded(batch: RaggedBatch, sentences: bool = False) -> tuple[Tensor, ...]:
    """(ids (B, L), mask (B, L)) of a RaggedBatch, filled up with id 0 to the longest text.

    sentences: the numbers of the sentences (B, L), from 0 in each text, as a third.
    """
    counts = np.diff(batch.offsets)
    mask = np.arange(max(1, counts.max(initial=0))) < counts[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = batch.ids
    tensors = torch.from_numpy(ids), torch.from_numpy(mask.astype(np.float32))
    if not sentences:
        return tensors
    assert batch.sentence_offsets is not None
    numbers = np.zeros(mask.shape, np.int64)
    number = np.repeat(np.arange(len(batch.sentence_offsets) - 1), np.diff(batch.sentence_offsets))
    before = np.searchsorted(batch.sentence_offsets, batch.offsets[:-1])
    numbers[mask] = number - np.repeat(before, counts)
    return (*tensors, torch.from_numpy(numbers))


class PeerTraining:
    """A PeerNetwork with torch.optim.AdamW and gradient clipping, in the form that the benchmark runs.

    device: "cpu" or "cuda". compiled: by torch.compile(network) as it stands, which treats the length of batches as
    variable from the second length it meets; who compiles also takes pairs of reals and AdamW's fused form.
    """

    def __init__(
        self,
        network: WaveNetwork,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        clip_norm: float = 1.0,
        device: str = "cpu",
        compiled: bool = False,
    ) -> None:
        self.network = PeerNetwork(network, real_pairs=compiled).to(device)
        self.forward: Any = self.network
        if compiled:
            # Networks share one count of compilations; past a limit they would silently run uncompiled.
            torch.compiler.reset()
            self.forward = torch.compile(self.network, backend=COMPILER)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=compiled or None
        )
        self.clip_norm, self.device = clip_norm, device

    def train_step(self, batch: RaggedBatch) -> Tensor:
        """Do one update; return the loss, 0-d on the device, without waiting for it."""
        tensors = self.on_device(*padded(batch, any(self.network.by_sentence)))
        (labels,) = self.on_device(torch.from_numpy(batch.labels))
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.forward(*tensors), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def on_device(self, *tensors: Tensor) -> list[Tensor]:
        """The tensors on the device; the copies are queued like everything else."""
        return [tensor.to(self.device, non_blocking=True) for tensor in tensors]

    def end_epoch(self) -> None:
        """Do nothing: the optimizer is dense, so no row of the table has missed a step."""

    def has_stopped(self) -> bool:
        """False: a number that is not finite stops nothing, it spreads to all later losses."""
        return False

    def probabilities(self, batch: RaggedBatch) -> Floats2d:
        """(B, C) class probabilities."""
        with torch.inference_mode():
            return (
                torch.softmax(self.network(*self.on_device(*padded(batch, any(self.network.by_sentence)))), dim=1)
                .cpu()
                .numpy()
            )


def has_cuda() -> bool:
    """Whether this PyTorch can use a CUDA device."""
    return torch.cuda.is_available()


@contextlib.contextmanager
def product_precision(name: str) -> Iterator[None]:
    """Multiply float32 in "float32", or in "tf32" where the device has it, while the context lasts."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision({"float32": "highest", "tf32": "high"}[name])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def without_compiling() -> contextlib.AbstractContextManager[Any]:
    """Context manager in which a network that would have to be compiled raises RuntimeError: no time includes that."""
    return torch.compiler.set_stance("fail_on_recompile")


def release_memory() -> None:
    """Free what PyTorch keeps of freed memory on the CUDA device; peak_memory_bytes() counts anew from here."""
    torch.compiler.reset()  # compiled networks are held by what was compiled for them
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def peak_memory_bytes() -> int:
    """The most that tensors have taken on the CUDA device at one time."""
    return torch.cuda.max_memory_allocated()
