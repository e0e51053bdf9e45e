"""The equations in PyTorch, as one writes them there: complex numbers, a loop over texts, autograd for every gradient.

Nothing of layers/ is called. PyTorch's gradient of a complex tensor is ∂L/∂re + i·∂L/∂im, the convention of this
project. Importing this module skips the importing test file where PyTorch is missing.
"""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[bench]'")

import torch.nn.functional as F  # noqa: E402

torch.set_num_threads(1)  # small tensors: threads cost more than they give


def texts_of(offsets):
    """A slice of rows for each text."""
    bounds = [int(o) for o in offsets]
    return [slice(a, b) for a, b in zip(bounds, bounds[1:])]


def spread(y, offsets):
    """(B, …) of texts → (T, …) of rows."""
    return torch.repeat_interleave(y, torch.as_tensor(np.diff(offsets)), dim=0)


# --- the wave path -----------------------------------------------------------------------------------------------


def global_magnitude(w, offsets, scope):
    norm = torch.linalg.vector_norm
    return torch.stack(
        [norm(w[text], dim=0) if scope == "dimension" else norm(w[text]).reshape(1) for text in texts_of(offsets)]
    )


def phase(w, G, offsets):
    c = w / spread(G, offsets)
    return torch.atan2(torch.sqrt(1 - c**2), c)


def polar_to_wave(G, alpha, offsets=None):
    return (G if offsets is None else spread(G, offsets)) * torch.exp(1j * alpha)


def token2wave_polar(w, offsets, scope):
    """E1, E2 and E3 one after another."""
    G = global_magnitude(w, offsets, scope)
    return polar_to_wave(G, phase(w, G, offsets), offsets)


def token2wave_others(w, offsets, scope):
    """w + i·(norm of the others), by summing the others for each token. Without others im is a constant 0."""
    parts = []
    for text in texts_of(offsets):
        x = w[text] if scope == "dimension" else w[text].reshape(-1, 1)
        others = 1 - torch.eye(len(x), dtype=w.dtype)
        squares = others @ x**2
        # Only roots of positive numbers are taken: where() alone would let autograd multiply the root's 1/0 by 0.
        im = torch.where(squares > 0, torch.sqrt(torch.where(squares > 0, squares, torch.ones_like(squares))), 0.0)
        parts.append(im.reshape(w[text].shape))
    return torch.complex(w, torch.cat(parts))


WAVES = {
    "full": token2wave_others,
    "real": lambda w, offsets, scope: torch.complex(w, torch.zeros_like(w)),
    "phase-free": lambda w, offsets, scope: torch.polar(
        spread(global_magnitude(w, offsets, scope), offsets).expand(w.shape), torch.zeros_like(w)
    ),
}
OPERATIONS = {"interference": torch.add, "modulation": torch.mul, "correlation": lambda a, b: a * b.conj()}
READOUTS = {
    "real": lambda z: z.real,
    "imaginary": lambda z: z.imag,
    "magnitude": torch.abs,
    "phase": torch.angle,
    "both": lambda z: torch.cat([z.real, z.imag], dim=1),
}


def readout(z, kind):
    return READOUTS[kind](z)


def is_near_the_jump(z, offsets):
    """Whether rounding decides between the phases π and −π. In a text of one token im is 0 exactly: nothing rounds."""
    several = spread(torch.as_tensor(np.diff(offsets) > 1), offsets)[:, None]
    return bool((several & (z.real < 0) & (z.imag.abs() <= 1e-9 * z.abs())).any())


# --- standard parts ----------------------------------------------------------------------------------------------


POOLINGS = {
    "mean": lambda rows: rows.mean(dim=0),
    "max": lambda rows: rows.max(dim=0).values,
    "cls": lambda rows: rows[0],
}


def pooling(x, offsets, kind):
    nothing = torch.zeros(x.shape[1], dtype=x.dtype)
    texts = [x[text] for text in texts_of(offsets)]
    return torch.stack([POOLINGS[kind](rows) if len(rows) else nothing for rows in texts])


def gelu(x):
    """x·Φ(x). F.gelu takes Φ as (1 + erf)/2, of which little is left below −6 and nothing below −8.3."""
    return x * 0.5 * torch.erfc(-x / math.sqrt(2))


ACTIVATIONS = {"gelu": gelu, "relu": F.relu}


def linear(x, p, name):
    return F.linear(x, p[f"{name}.weight"].T, p[f"{name}.bias"])


def residual(f, x):
    return f + x


def sinusoids(length, d, scale):
    """As one writes them there, for even d: exp of a logarithm, and two assignments."""
    p = torch.zeros(length, d, dtype=torch.float64)
    frequency = torch.exp(torch.arange(0, d, 2, dtype=torch.float64) * (-math.log(10000.0) / d))
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
    p[:, 0::2], p[:, 1::2] = torch.sin(angle), torch.cos(angle)
    return scale * p


def position_encoding(w, table, offsets):
    """Text by text."""
    return torch.cat([w[text] + table[: text.stop - text.start] for text in texts_of(offsets)])


def layer_norm(x, p, name):
    return F.layer_norm(x, x.shape[1:], p[f"{name}.gain"], p[f"{name}.bias"], eps=1e-5)


def dropped(x, mask, rate):
    """Entries stay where `mask` is not 0, and grow to 1/(1 − rate) of themselves; all stay without a mask."""
    return x if mask is None else x * torch.as_tensor(mask != 0) / (1 - rate)


def kept_tokens(ids, offsets, rate, rng, spared=0):
    """(ids, offsets) after token dropout: one draw for each token, and the first of a text stays whatever it drew."""
    drawn = rng.random(len(ids), dtype=np.float32)
    texts = []
    for text in texts_of(offsets):
        n = text.stop - text.start
        lost = rate * (1 - spared / n) if n > spared else 0.0
        texts.append([int(ids[j]) for j in range(text.start, text.stop) if j == text.start or drawn[j] >= lost])
    return np.array([i for text in texts for i in text], np.int64), np.cumsum([0, *map(len, texts)])


# --- the network -------------------------------------------------------------------------------------------------


def wave_network(config, p, ids, offsets, masks=None):
    """(logits, the combined wave of each block) of a WaveNetworkConfig.

    p: tensors by the names of the network's parameters; ids, offsets: after token dropout; masks: those that the
    network under test has drawn, by where they act; None to predict.
    """
    masks = masks or {}
    x = dropped(
        F.embedding(torch.as_tensor(ids), p["embedding.table"]), masks.get("embedding"), config.embedding_dropout
    )
    waves = []
    for number in range(config.blocks):
        block = f"blocks.{number}"
        a, b = (
            token2wave_others(linear(x, p, f"{block}.{name}"), offsets, config.scope)
            for name in ("first_variant", "second_variant")
        )
        waves.append(OPERATIONS[config.operation](a, b))
        y = readout(waves[-1], config.readout)
        if config.readout == "both":
            y = linear(y, p, f"{block}.projection")
        y = dropped(y, masks.get((number, "readout")), config.dropout)
        x = layer_norm(residual(y, x) if config.wave_residual else y, p, f"{block}.wave_norm")
        if config.hidden:
            y = ACTIVATIONS[config.activation](linear(x, p, f"{block}.feed_forward.expand"))
            y = linear(dropped(y, masks.get((number, "hidden")), config.dropout), p, f"{block}.feed_forward.contract")
            y = dropped(y, masks.get((number, "feed_forward")), config.dropout)
            x = layer_norm(residual(y, x), p, f"{block}.feed_forward_norm")
    x = dropped(pooling(x, offsets, config.pooling), masks.get("classifier"), config.classifier_dropout)
    return linear(x, p, "classifier"), waves


def attention(q, k, v, offsets, heads):
    """PyTorch's own, text by text."""
    parts = []
    for text in texts_of(offsets):
        split = [x[text].reshape(-1, heads, x.shape[1] // heads).transpose(0, 1) for x in (q, k, v)]
        parts.append(F.scaled_dot_product_attention(*split).transpose(0, 1).reshape(-1, v.shape[1]))
    return torch.cat(parts)


def transformer(config, p, ids, offsets, masks=None):
    """Logits of a TransformerConfig. p: tensors by the names of the network's parameters; masks: as in wave_network."""
    masks = masks or {}
    normed = lambda x, name: F.layer_norm(x, x.shape[1:], p[f"{name}.gain"], p[f"{name}.bias"], eps=config.norm_epsilon)  # noqa: E731
    drop = lambda x, place: dropped(x, masks.get(place), config.dropout)  # noqa: E731
    places = torch.as_tensor(
        [j - text.start for text in texts_of(offsets) for j in range(text.start, text.stop)], dtype=torch.int64
    )
    x = F.embedding(torch.as_tensor(ids), p["embedding.table"]) + F.embedding(places, p["positions.table"])
    x = drop(normed(x, "embedding_norm"), "embedding")
    for number in range(config.blocks):
        block = f"blocks.{number}"
        q, k, v = (linear(x, p, f"{block}.{name}") for name in ("query", "key", "value"))
        y = linear(attention(q, k, v, offsets, config.heads), p, f"{block}.output")
        x = normed(x + drop(y, (number, "attention")), f"{block}.attention_norm")
        y = linear(gelu(linear(x, p, f"{block}.feed_forward.expand")), p, f"{block}.feed_forward.contract")
        x = normed(x + drop(y, (number, "feed_forward")), f"{block}.feed_forward_norm")
    x = torch.tanh(linear(pooling(x, offsets, "cls"), p, "pooler"))
    return linear(drop(x, "classifier"), p, "classifier")


def masks_of_transformer(cache):
    """The masks that a Transformer's forward pass has drawn, from its cache."""
    masks = {"embedding": cache.embedding_dropout.scaled_mask, "classifier": cache.classifier_dropout.scaled_mask}
    for number, block in enumerate(cache.blocks):
        masks[number, "attention"] = block.attention_dropout.scaled_mask
        masks[number, "feed_forward"] = block.feed_forward_dropout.scaled_mask
    return masks


def masks_of(cache):
    """The masks that a forward pass of either Wave Network has drawn, from its cache."""
    masks = {"embedding": cache.embedding_dropout.scaled_mask, "classifier": cache.classifier_dropout.scaled_mask}
    for number, block in enumerate(cache.blocks):
        masks[number, "readout"] = block.dropout.scaled_mask
        if block.feed_forward is not None:
            masks[number, "hidden"] = block.feed_forward.mask
            masks[number, "feed_forward"] = block.feed_forward_dropout.scaled_mask
    return masks


def tensors_of(parameters):
    """Leaf tensors with a gradient, by name, of dict[str, Parameter]. They share no memory with the parameters."""
    return {name: torch.tensor(parameter.value, requires_grad=True) for name, parameter in parameters.items()}


def gradient_of(tensor):
    """Its gradient as an array; zeros where autograd left none."""
    return (torch.zeros_like(tensor) if tensor.grad is None else tensor.grad).numpy()


def total_norm(tensors):
    """The norm of all gradients together."""
    return math.hypot(*(np.linalg.norm(gradient_of(t).ravel()) for t in tensors.values()))


# --- comparison --------------------------------------------------------------------------------------------------


def rounded(tensors, seed):
    """The same tensors with a relative error of about 1e-16 in every number, as another order of computation has it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        moved = {
            name: t * (1 + 1e-16 * torch.randn(t.shape, generator=generator, dtype=t.dtype))
            for name, t in tensors.items()
        }
    return {name: t.requires_grad_() for name, t in moved.items()}


def distance(a, b):
    """‖a − b‖ of two arrays of any shape."""
    return np.linalg.norm(np.ravel(a - b))


def assert_close(found, expected, tolerance=1e-10, noise=0.0, what=""):
    """‖found − expected‖ ≤ tolerance·‖expected‖ + noise, for NumPy arrays or tensors, real or complex.

    noise: an absolute bound for what is 0 but for rounding. By default there is none: where the twin is 0, so is ours.
    """
    a, b = (np.asarray(x.detach().resolve_conj() if isinstance(x, torch.Tensor) else x) for x in (found, expected))
    assert a.shape == b.shape, (what, a.shape, b.shape)
    error, size = distance(a, b), np.linalg.norm(np.ravel(b))
    assert error <= tolerance * size + noise, f"{what}: {error:.3g} off a twin of norm {size:.3g}"
