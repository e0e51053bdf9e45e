"""The Wave Network in PyTorch as people write it: padded batches, polar coordinates, autograd, dense AdamW.

It is what the public implementations do (embedding, two linear maps, G·exp(iα) by atan2, layer norm, mean over the text):
the peer of the benchmark, never part of a training. It computes what a WaveNetwork with the magnitude readout does, but for
its ε, without which autograd returns NaN. PyTorch is imported with this module: extra `bench`.
"""

import contextlib
import gc

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

EPSILON = 1e-8  # keeps sqrt and atan2 off their singular points
COMPILER = "inductor"  # PyTorch's own; tests take one that needs no C++ compiler


class PeerNetwork(nn.Module):
    """The network of a WaveNetworkConfig with one block and the magnitude readout, holding copies of a WaveNetwork's parameters.

    real_pairs: waves are pairs of real tensors, not complex ones, for which torch.compile has no code on a CUDA device.
    """

    def __init__(self, network, real_pairs=False):
        super().__init__()
        self.magnitude = magnitude_of_pairs if real_pairs else magnitude_of_complex
        config, block = network.config, network.blocks[0]
        if (
            config.blocks != 1
            or config.readout != "magnitude"
            or config.scope != "dimension"
            or config.pooling != "mean"
        ):
            raise ValueError(
                "the peer has one block, the magnitude readout, magnitudes per dimension and mean pooling only"
            )
        self.operation, self.wave_residual = config.operation, config.wave_residual
        self.embedding = nn.Embedding.from_pretrained(torch.tensor(network.embedding.table.value), freeze=False)
        self.first, self.second = linear_like(block.first_variant), linear_like(block.second_variant)
        self.wave_norm = norm_like(block.wave_norm)
        if block.feed_forward:
            activation = {"gelu": nn.GELU, "relu": nn.ReLU}[config.activation]
            self.feed_forward = nn.Sequential(
                linear_like(block.feed_forward.expand), activation(), linear_like(block.feed_forward.contract)
            )
            self.feed_forward_norm = norm_like(block.feed_forward_norm)
        else:
            self.feed_forward = None
        self.classifier = linear_like(network.classifier)

    def forward(self, ids, mask):
        """ids: (B, L) token ids, mask: (B, L) 1 for a token and 0 for padding → logits (B, C)."""
        mask = mask.unsqueeze(-1)
        x = self.embedding(ids)
        y = self.magnitude(to_polar(self.first(x) * mask), to_polar(self.second(x) * mask), self.operation)
        y = self.wave_norm(y + x if self.wave_residual else y)
        if self.feed_forward is not None:
            y = self.feed_forward_norm(y + self.feed_forward(y))
        return self.classifier((y * mask).sum(dim=1) / mask.sum(dim=1))


def to_polar(w):
    """(B, L, d) → G (B, 1, d), the global magnitude of each text and dimension, and the phase of each token (B, L, d)."""
    G = torch.sqrt(torch.sum(w * w, dim=1, keepdim=True) + EPSILON)
    ratio = w / G
    return G, torch.atan2(torch.sqrt(torch.clamp(1 - ratio**2, min=EPSILON)), ratio)


def magnitude_of_complex(a, b, operation):
    """(G, phase) of two waves → |Z| of their operation, by complex tensors."""
    return torch.abs(COMPLEX_OPERATIONS[operation](*(G * torch.exp(1j * phase) for G, phase in (a, b))))


def magnitude_of_pairs(a, b, operation):
    """The same by pairs of real tensors."""
    parts = (part for G, phase in (a, b) for part in (G * torch.cos(phase), G * torch.sin(phase)))
    return torch.hypot(*PAIR_OPERATIONS[operation](*parts))


COMPLEX_OPERATIONS = {
    "interference": lambda a, b: a + b,
    "modulation": lambda a, b: a * b,
    "correlation": lambda a, b: a * b.conj(),
}
PAIR_OPERATIONS = {  # (re, im) from those of a and of b
    "interference": lambda a_re, a_im, b_re, b_im: (a_re + b_re, a_im + b_im),
    "modulation": lambda a_re, a_im, b_re, b_im: (a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re),
    "correlation": lambda a_re, a_im, b_re, b_im: (a_re * b_re + a_im * b_im, a_im * b_re - a_re * b_im),
}


def linear_like(layer):
    made = nn.Linear(*layer.weight.value.shape, dtype=torch.tensor(layer.weight.value).dtype)
    with torch.no_grad():
        made.weight.copy_(torch.tensor(layer.weight.value.T))
        made.bias.copy_(torch.tensor(layer.bias.value))
    return made


def norm_like(layer):
    made = nn.LayerNorm(len(layer.gain.value), eps=1e-5, dtype=torch.tensor(layer.gain.value).dtype)
    with torch.no_grad():
        made.weight.copy_(torch.tensor(layer.gain.value))
        made.bias.copy_(torch.tensor(layer.bias.value))
    return made


def padded(batch):
    """(ids (B, L), mask (B, L)) of a RaggedBatch, filled up with id 0 to the longest text."""
    counts = np.diff(batch.offsets)
    mask = np.arange(max(1, counts.max(initial=0))) < counts[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = batch.ids
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.float32))


class PeerTraining:
    """A PeerNetwork with torch.optim.AdamW and gradient clipping, in the form that the benchmark runs.

    device: "cpu" or "cuda". compiled: by torch.compile(network) as it stands, which treats the length of batches as variable from
    the second length it meets; who compiles also takes pairs of reals and AdamW's fused form.
    """

    def __init__(self, network, learning_rate=1e-3, weight_decay=0.01, clip_norm=1.0, device="cpu", compiled=False):
        self.network = PeerNetwork(network, real_pairs=compiled).to(device)
        self.forward = self.network
        if compiled:
            torch.compiler.reset()  # networks share one count of compilations; past a limit they would silently run uncompiled
            self.forward = torch.compile(self.network, backend=COMPILER)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=compiled or None
        )
        self.clip_norm, self.device = clip_norm, device

    def train_step(self, batch):
        """One update; returns the loss."""
        return self.update(batch).item()

    def update(self, batch):
        """One update; returns the loss as a tensor, without waiting for the device."""
        ids, mask = self.on_device(*padded(batch))
        (labels,) = self.on_device(torch.from_numpy(batch.labels))
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.forward(ids, mask), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def on_device(self, *tensors):
        """The tensors there; the copies are queued like everything else."""
        return [tensor.to(self.device, non_blocking=True) for tensor in tensors]

    def probabilities(self, batch):
        """(B, C) class probabilities."""
        with torch.inference_mode():
            return torch.softmax(self.network(*self.on_device(*padded(batch))), dim=1).cpu().numpy()


def has_cuda():
    """Whether this PyTorch can use a CUDA device."""
    return torch.cuda.is_available()


@contextlib.contextmanager
def product_precision(name):
    """Float32 products in "float32", or in "tf32" where the device has it, while the context lasts."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision({"float32": "highest", "tf32": "high"}[name])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def without_compiling():
    """Context manager in which a network that would have to be compiled raises RuntimeError: compiling cannot slip into a time."""
    return torch.compiler.set_stance("fail_on_recompile")


def release_memory():
    """Give back what was freed on the CUDA device, and let the count of peak_memory_bytes() begin here."""
    torch.compiler.reset()  # compiled networks are held by what was compiled for them
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def peak_memory_bytes():
    """The most that tensors have taken on the CUDA device at one time."""
    return torch.cuda.max_memory_allocated()
