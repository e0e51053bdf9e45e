"""Checks of things that keep the contract of engine.layer: layers and networks."""

from dataclasses import replace

from engine.arrays.backend import random_generator
from engine.gradcheck.check import check_gradients
from engine.gradcheck.properties import check_properties

NETWORK_TOLERANCE = 1e-6


def check_layer(layer, inputs, *, empty_inputs=None, seed=0, **options):
    """check_gradients and check_properties of a Layer in float64, every input and every parameter, as one GradientReport.

    inputs: arguments of layer.forward; a random generator among them (for dropout) starts anew at every call.
    options: as in check_gradients. Raises ValueError for wrong arguments, float32 parameters among them.
    """
    parameters, wrt = layer.parameters(), options.pop("wrt", None)
    gradients = check_gradients(
        layer.forward, layer.backward, inputs, wrt=wrt, parameters=parameters, seed=seed, **options
    )
    laws = check_properties(
        layer.forward, layer.backward, inputs, wrt=wrt, parameters=parameters, empty_inputs=empty_inputs, seed=seed
    )
    return joined(gradients, laws)


def check_network(network, batch, *, train=True, seed=0, tolerance=NETWORK_TOLERANCE, **options):
    """The gradient of a network's loss by every parameter, in float64. Returns a GradientReport.

    network: keeps the contract of engine.layer (loss_forward, loss_backward, parameters). batch: RaggedBatch with labels.
    train: with dropout, from a generator that starts anew at every call. options: as in check_gradients.
    Raises ValueError for float32 parameters.
    """

    def forward():
        return network.loss_forward(batch, train=train, rng=random_generator(seed))

    def backward(dloss, cache):
        network.loss_backward(cache, dloss)

    parameters = network.parameters()
    gradients = check_gradients(forward, backward, (), parameters=parameters, seed=seed, tolerance=tolerance, **options)
    laws = check_properties(forward, backward, (), parameters=parameters, seed=seed)
    return joined(gradients, replace(laws, notes=()))  # they speak of empty_inputs, which a network's batch is not


def joined(gradients, laws):
    """One report of the rows of two; ok only if both are."""
    # A report is ok with one ok row; laws must not vouch for gradients of which every row is a kink or noise.
    kept = laws.failures if not gradients.ok and not gradients.failures else laws.rows
    return replace(gradients, rows=gradients.rows + kept, notes=gradients.notes + laws.notes)
