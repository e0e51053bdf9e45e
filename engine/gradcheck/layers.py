"""Check layers and whole networks: gradients and laws in one report."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .arrays import Cache, Layer, Network, Tree, random_generator
from .check import check_gradients
from .properties import check_properties
from .report import GradientReport


def check_layer(
    layer: Layer, inputs: Sequence[Any], *, empty_inputs: Sequence[Any] | None = None, seed: int = 0, **options: Any
) -> GradientReport:
    """Run check_gradients and check_properties on a layer in float64: every input and every parameter.

    inputs: arguments of layer.forward; a random generator among them (for dropout) starts anew at every call.
    options: as in check_gradients. Raises ValueError for wrong arguments.
    """
    parameters, wrt = layer.parameters(), options.pop("wrt", None)
    gradients = check_gradients(
        layer.forward, layer.backward, inputs, wrt=wrt, parameters=parameters, seed=seed, **options
    )
    laws = check_properties(
        layer.forward, layer.backward, inputs, wrt=wrt, parameters=parameters, empty_inputs=empty_inputs, seed=seed
    )
    return joined(gradients, laws)


def check_network(
    network: Network,
    batch: Any,
    *,
    train: bool = True,
    seed: int = 0,
    tolerance: float | None = None,
    **options: Any,
) -> GradientReport:
    """Check the gradient of a network's loss by every parameter, in float64.

    batch: what loss_forward takes, labels among it. train: with dropout, from a generator that starts anew at every
    call. options: as in check_gradients.
    """

    def forward() -> tuple[Tree, Cache]:
        return network.loss_forward(batch, train=train, rng=random_generator(seed))

    def backward(dloss: Tree, cache: Cache) -> None:
        network.loss_backward(cache, dloss)

    parameters = network.parameters()
    gradients = check_gradients(forward, backward, (), parameters=parameters, seed=seed, tolerance=tolerance, **options)
    laws = check_properties(forward, backward, (), parameters=parameters, seed=seed)
    return joined(gradients, replace(laws, notes=()))  # they speak of empty_inputs, which a network's batch is not


def joined(gradients: GradientReport, laws: GradientReport) -> GradientReport:
    """Return one report of the rows of two; ok only if both are."""
    # A report is ok with one ok row; laws must not vouch for gradients of which every row is a kink or noise.
    kept = laws.failures if not gradients.ok and not gradients.failures else laws.rows
    return replace(gradients, rows=gradients.rows + kept, notes=tuple(dict.fromkeys(gradients.notes + laws.notes)))
