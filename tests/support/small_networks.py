"""What tests of networks share: one in which every term counts, and the check of all its gradients."""

import numpy as np

from engine.gradcheck import check_gradients


def stirred(network, rng):
    """The network with norms and biases moved from their initial values, so that every term counts."""
    for parameter in network.parameters().values():
        if not parameter.decay:
            parameter.value = parameter.value + (0.3 * rng.standard_normal(parameter.value.shape)).astype(
                parameter.value.dtype
            )
    return network


def gradient_report(network, batch, train_seed=None, **options):
    """The gradient of the loss with respect to every parameter, checked; with a seed under all kinds of dropout."""

    def forward():
        rng = None if train_seed is None else np.random.default_rng(train_seed)
        return network.loss_forward(batch, train=rng is not None, rng=rng)

    return check_gradients(
        forward,
        lambda dloss, cache: network.loss_backward(cache, dloss),
        (),
        parameters=network.parameters(),
        **options,
    )
