"""Random inputs, and the comparison of a function pair with its twin in PyTorch."""

import numpy as np
from hypothesis import strategies as st

from layers.wave import Wave
from tests.support import torch_twins as twins
from tests.support.examples import examples
from tests.support.torch_twins import torch

SEEDS = st.integers(0, 2**32 - 1)


LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any)  # of texts; empty ones and single tokens too


quickly = examples(30)


def numbers(rng, *shape):
    """Numbers of size 0.1 … 3 and either sign."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 3.0, shape)


def with_zeros(rng, *shape):
    """The same, but every third is 0: columns of zeros, and tokens that carry all of a dimension, are among them."""
    return numbers(rng, *shape) * (rng.random(shape) > 1 / 3)


def random_wave(rng, *shape):
    return Wave(numbers(rng, *shape), numbers(rng, *shape))


def to_tensor(x):
    """A leaf with a gradient; a Wave becomes complex."""
    return torch.tensor(x.as_complex() if isinstance(x, Wave) else x, requires_grad=True)


def to_numpy(x):
    return x.as_complex() if isinstance(x, Wave) else np.asarray(x)


def random_like(rng, y):
    return (
        Wave(*(rng.standard_normal(part.shape) for part in y))
        if isinstance(y, Wave)
        else np.asarray(rng.standard_normal(y.shape))[()]
    )


def compare(forward, backward, twin, inputs, seed):
    """Ours and the twin's: the result, and the gradient of every input for one random cotangent."""
    y, cache = forward(*inputs)
    tensors = [to_tensor(x) for x in inputs]
    expected = twin(*tensors)
    dy = random_like(np.random.default_rng([seed, 1]), y)
    found = backward(dy, cache)
    found = found if isinstance(found, tuple) and not isinstance(found, Wave) else (found,)
    gradients = torch.autograd.grad(expected, tensors, torch.as_tensor(to_numpy(dy)))
    twins.assert_close(to_numpy(y), expected, what="the result")
    for number, (ours, theirs) in enumerate(zip(found, gradients, strict=True)):
        twins.assert_close(to_numpy(ours), theirs, what=f"the gradient of input {number}")


def ragged(lengths, seed):
    return np.random.default_rng(seed), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
