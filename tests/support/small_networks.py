"""Small Wave Networks of both kinds in which every term counts, and comparisons of their gradients."""

import itertools
import math

import numpy as np
import pytest

from engine.gradcheck import assert_gradients, check_gradients
from layers.networks import PlannedWaveNetwork, WaveNetwork, WaveNetworkConfig
from layers.wave import OPERATIONS, READOUTS

VOCABULARY, CLASSES = 9, 3
LENGTHS = [1, 4, 0, 2, 6]
DROPOUTS = {"token_dropout": 0.3, "embedding_dropout": 0.2, "dropout": 0.2, "classifier_dropout": 0.2}
KINDS = (WaveNetwork, PlannedWaveNetwork)
CANDIDATES = 4096  # combinations of choices that covering() looks at
COMBINATIONS = list(itertools.product(OPERATIONS, READOUTS))
JUMP = ("modulation", "phase")  # its phase jumps from π to −π: there is no gradient to check
DIFFERENTIABLE = [combination for combination in COMBINATIONS if combination != JUMP]

both_kinds = pytest.mark.parametrize("kind", KINDS)
every_combination = pytest.mark.parametrize("operation, readout", COMBINATIONS)


def stirred(network, rng):
    """The network with norms and biases moved from their initial values, so that every term counts."""
    for parameter in network.parameters().values():
        if not parameter.decay:
            parameter.value = parameter.value + (0.3 * rng.standard_normal(parameter.value.shape)).astype(
                parameter.value.dtype
            )
    return network


def network_of(kind=PlannedWaveNetwork, seed=0, dtype=np.float64, vocabulary=VOCABULARY, classes=CLASSES, **fields):
    """A small network of a kind, stirred."""
    config = WaveNetworkConfig(**{"dimension": 4, "hidden": 5, **fields})
    return stirred(kind(config, vocabulary, classes, seed, dtype), np.random.default_rng(seed + 1))


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


def assert_network_gradients(network, batch, train_seed=None):
    """By complex step where the code is analytic, else by five points."""
    analytic = READOUTS[network.config.readout].analytic
    method, tolerance = ("complex_step", 1e-11) if analytic else ("five_point", 1e-6)
    assert_gradients(gradient_report(network, batch, train_seed, method=method, tolerance=tolerance))


def loss_and_gradients(network, batch, rng=None):
    """(loss, dense gradients by name); rng: of dropout, None to predict."""
    network.zero_grad()
    loss, cache = network.loss_forward(batch, train=rng is not None, rng=rng)
    network.loss_backward(cache)
    return loss, {name: parameter.dense_grad() for name, parameter in network.parameters().items()}


def assert_gradients_agree(found, expected, tolerance):
    """By norm, to a tolerance of each gradient and a hundredth of it of all: some are 0 but for rounding."""
    assert found.keys() == expected.keys()
    all_of_them = math.sqrt(sum(np.sum(gradient**2) for gradient in expected.values()))
    for name, gradient in found.items():
        limit = tolerance * (np.linalg.norm(expected[name]) + 0.01 * all_of_them)
        assert np.linalg.norm(gradient - expected[name]) <= limit, name


def covering(choices, strength, possible=lambda row: True):
    """Some of the possible combinations of choices (a list of lists), such that every `strength` of them meet.

    Of very many combinations CANDIDATES random ones are looked at, in which all meet.
    """
    sizes = list(map(len, choices))
    numbers = np.random.default_rng(0).permutation(math.prod(sizes))[:CANDIDATES]
    rows = np.stack(np.unravel_index(numbers, sizes), axis=1)  # which value of each choice
    meetings, count = [], 0  # (rows,) each: a number for the values that meet
    for at in map(list, itertools.combinations(range(len(choices)), strength)):
        meetings.append(count + np.ravel_multi_index(tuple(rows[:, at].T), [sizes[k] for k in at]))
        count += math.prod(sizes[k] for k in at)
    of_rows, unseen, untried, chosen = np.stack(meetings, axis=1), np.ones(count, bool), np.ones(len(rows), bool), []
    while (gains := unseen[of_rows].sum(axis=1) * untried).any():
        best = gains.argmax()  # the row in which most values meet for the first time
        row = tuple(values[k] for values, k in zip(choices, rows[best]))
        untried[best] = False
        if possible(row):
            unseen[of_rows[best]] = False
            chosen.append(row)
    return chosen


def in_pairs(*choices):
    """Values for pytest.mark.parametrize: all combinations of choices, of which a covering of pairs runs by default.

    A choice that is a tuple gives several values.
    """
    numbers = [range(len(choice)) for choice in choices]
    chosen, found = set(covering(numbers, 2)), []
    for row in itertools.product(*numbers):
        values = [choice[k] if isinstance(choice[k], tuple) else (choice[k],) for choice, k in zip(choices, row)]
        marks = () if row in chosen else pytest.mark.thorough
        found.append(pytest.param(*itertools.chain(*values), marks=marks))
    return found


def assert_shares(network, counts, batch):
    """Each of two networks, by attribute, has its share of the loss, the gradients and the probabilities."""
    loss, gradients = loss_and_gradients(network, batch)
    expected_loss, expected, p = 0.0, {}, 0.0
    for name, count in counts.items():
        part, weight = getattr(network, name), count / sum(counts.values())
        own_loss, own = loss_and_gradients(part, batch)
        expected_loss += weight * own_loss
        expected |= {f"{name}.{inner}": weight * gradient for inner, gradient in own.items()}
        p = p + weight * part.probabilities(batch)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert_gradients_agree(gradients, expected, 1e-12)
    np.testing.assert_allclose(network.probabilities(batch), p, rtol=1e-12)
