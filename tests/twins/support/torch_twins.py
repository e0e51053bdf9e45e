"""The equations in PyTorch, as one writes them there: complex numbers, a loop over texts, autograd for every gradient.

Nothing of layers/ is called. PyTorch's gradient of a complex tensor is ∂L/∂re + i·∂L/∂im, the convention of this project.
"""

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)  # small tensors: threads cost more than they give


def texts_of(offsets):
    """A slice of rows for each text."""
    bounds = [int(o) for o in offsets]
    return [slice(a, b) for a, b in zip(bounds, bounds[1:])]


def spread(y, offsets):
    """(B, …) of texts → (T, …) of rows."""
    return torch.repeat_interleave(y, torch.as_tensor(np.diff(offsets)), dim=0)


def global_magnitude(w, offsets, scope):
    norms = [torch.linalg.vector_norm(w[text], dim=0) if scope == "dimension" else torch.linalg.vector_norm(w[text]).reshape(1) for text in texts_of(offsets)]
    return torch.stack(norms)


def phase(w, G, offsets):
    c = w / spread(G, offsets)
    return torch.atan2(torch.sqrt(1 - c**2), c)


def polar_to_wave(G, alpha, offsets):
    return spread(G, offsets) * torch.exp(1j * alpha)


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
        im = torch.where(squares > 0, torch.sqrt(torch.where(squares > 0, squares, torch.ones_like(squares))), 0.0)
        parts.append(im.reshape(w[text].shape))
    return torch.complex(w, torch.cat(parts))


def readout(z, kind):
    if kind == "both":
        return torch.cat([z.real, z.imag], dim=1)
    return {"real": lambda: z.real, "imaginary": lambda: z.imag, "magnitude": z.abs, "phase": z.angle}[kind]()


OPERATIONS = {"interference": torch.add, "modulation": torch.mul}


def pooling(x, offsets, kind):
    pooled = []
    for text in texts_of(offsets):
        rows = x[text]
        if not len(rows):
            pooled.append(torch.zeros(x.shape[1], dtype=x.dtype))
        else:
            pooled.append(rows.mean(dim=0) if kind == "mean" else rows.max(dim=0).values if kind == "max" else rows[0])
    return torch.stack(pooled)


def linear(x, p, name):
    return F.linear(x, p[f"{name}.weight"].T, p[f"{name}.bias"])


def layer_norm(x, p, name):
    return F.layer_norm(x, x.shape[1:], p[f"{name}.gain"], p[f"{name}.bias"], eps=1e-5)


def dropped(x, mask):
    """x times 0 or 1/(1 − p), with the mask of the network under test."""
    return x if mask is None else x * torch.as_tensor(mask)


def wave_network(config, p, ids, offsets, masks):
    """Logits of a WaveNetworkConfig. p: tensors by the names of the network's parameters.

    ids, offsets: after token dropout; masks: what the network under test dropped, by the name of the place.
    """
    x = dropped(F.embedding(torch.as_tensor(ids), p["embedding.table"]), masks["embedding"])
    for number in range(config.blocks):
        block = f"blocks.{number}"
        a, b = (token2wave_others(linear(x, p, f"{block}.{name}"), offsets, config.scope) for name in ("first_variant", "second_variant"))
        y = readout(OPERATIONS[config.operation](a, b), config.readout)
        if config.readout == "both":
            y = linear(y, p, f"{block}.projection")
        y = dropped(y, masks[number, "readout"])
        x = layer_norm(y + x if config.wave_residual else y, p, f"{block}.wave_norm")
        if config.hidden:
            hidden = getattr(F, config.activation)(linear(x, p, f"{block}.feed_forward.expand"))
            y = dropped(linear(dropped(hidden, masks[number, "hidden"]), p, f"{block}.feed_forward.contract"), masks[number, "feed_forward"])
            x = layer_norm(x + y, p, f"{block}.feed_forward_norm")
    return linear(dropped(pooling(x, offsets, config.pooling), masks["classifier"]), p, "classifier")


def tensors_of(parameters):
    """Leaf tensors with a gradient, by name, of dict[str, Parameter]."""
    return {name: torch.tensor(parameter.value, requires_grad=True) for name, parameter in parameters.items()}


def masks_of(cache):
    """The masks that a WaveNetwork's forward pass has drawn, from its cache."""
    masks = {"embedding": cache.embedding_dropout.scaled_mask, "classifier": cache.classifier_dropout.scaled_mask}
    for number, block in enumerate(cache.blocks):
        masks[number, "readout"] = block.dropout.scaled_mask
        if block.feed_forward is not None:
            masks[number, "hidden"] = block.feed_forward.dropout.scaled_mask
            masks[number, "feed_forward"] = block.feed_forward_dropout.scaled_mask
    return masks


def assert_close(found, expected, tolerance=1e-10, floor=0.0):
    """‖found − expected‖ ≤ tolerance·(‖expected‖ + floor), for NumPy arrays or tensors, real or complex."""
    a, b = (np.asarray(x.detach() if isinstance(x, torch.Tensor) else x) for x in (found, expected))
    assert a.shape == b.shape, (a.shape, b.shape)
    assert np.linalg.norm((a - b).ravel()) <= tolerance * (np.linalg.norm(b.ravel()) + floor), np.abs(a - b).max()
