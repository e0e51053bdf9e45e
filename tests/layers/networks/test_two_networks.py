"""Laws of two networks in one training, of character heads beside words among whom one more kind stands."""

import numpy as np
import pytest

from engine.support.implementation import using
from engine.training.adamw import AdamW
from engine.training.step import update
from layers.networks import WaveNetworkConfig, build_network
from layers.networks.text_classifier import example_batch
from tests.support.small_networks import CLASSES, VOCABULARY

WORDS = 6  # token ids from there on are character n-grams
every_kind = pytest.mark.parametrize("kind", ["other_heads", "linear_heads"])


def network_of(kind, dtype, token_dropout):
    config = WaveNetworkConfig(
        **{"dimension": 4, "hidden": 5, "char_heads": 1, kind: 1, "token_dropout": token_dropout}
    )
    network = build_network(config, VOCABULARY, CLASSES, 3, dtype, first_char_ngram=WORDS)
    network.learn_counts(batch_of(5))
    return network


def batch_of(seed=0):
    return example_batch(VOCABULARY, CLASSES, [3, 1, 5, 8, 0], seed)


@every_kind
@pytest.mark.parametrize("implementation", ["equations", "fast", "check"])
def test_they_take_a_step_in_every_implementation(kind, implementation):
    with using(implementation):
        network = network_of(kind, np.float32, 0.3)
        before = {name: p.value.copy() for name, p in network.parameters().items()}
        update(network, AdamW(network.parameters()), batch_of(), np.random.default_rng(0), 0.01, 1.0)
    assert all((before[n] != p.value).any() for n, p in network.parameters().items() if not n.endswith("table"))


@every_kind
def test_what_is_prepared_ahead_gives_the_same_bits(kind):
    network, batch = network_of(kind, np.float64, 0.5), batch_of()
    losses = []
    for ahead in (False, True):
        rng = np.random.default_rng(4)
        losses.append(network.loss_forward(network.prepared(batch, rng) if ahead else batch, True, rng)[0])
    assert losses[0] == losses[1]
