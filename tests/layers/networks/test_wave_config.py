"""The fields of a network, and how a wrong one is refused."""

import dataclasses
import itertools

import numpy as np
import pytest

from engine.support.errors import UserError
from layers.networks import WaveNetwork, WaveNetworkConfig
from layers.networks.text_classifier import example_batch
from layers.wave import OPERATIONS, READOUTS, SCOPES

WRONG = {
    "model": ["transformer", "", None],
    "dimension": [0, -1, 1.5, "wide", True, None],
    "blocks": [-1, 0.5, "two"],
    "heads": [0, 1.5, "two"],
    "char_heads": [-1, 1.5, "two"],
    "other_heads": [-1, 1.5, "two"],
    "linear_heads": [-1, 1.5, "two"],
    "position_encoding": ["rotary", "", None],
    "positions": [0, 1.5],
    "position_scale": [-0.1, float("nan")],
    "variants": ["real"],
    "levels": ["word", "text-sentence"],
    "wave": ["half"],
    "block_form": ["eq9"],
    "operation": ["sum", "", 1],
    "readout": ["angle", None],
    "scope": ["token"],
    "wave_residual": ["maybe", 2, None],
    "hidden": [-1, 2.5],
    "activation": ["tanh"],
    "pooling": ["sum"],
    "embedding_scale": [-1.0, float("nan"), float("inf"), "large"],
    "token_dropout": [-0.1, 1.0, float("nan")],
    "spared_tokens": [-1, 2.5],
    "embedding_dropout": [-0.1, 1.0],
    "dropout": [-0.1, 1, "half"],
    "labels": ["many", "", None],
    "shortcut": ["bayes", "", None],
    "shortcut_dropout": [-0.1, 1.0, "half"],
    "classifier_dropout": [1.5],
    "label_smoothing": [-0.01, 1.0],
}


@pytest.mark.parametrize("field, value", [(field, value) for field, wrong in WRONG.items() for value in wrong])
def test_a_wrong_field_is_named_with_its_value(field, value):
    with pytest.raises(UserError, match=f"^{field}: expected ") as caught:
        WaveNetworkConfig(**{field: value})
    assert repr(value) in str(caught.value)


def test_every_field_is_refused_for_something():
    assert set(WRONG) == {field.name for field in dataclasses.fields(WaveNetworkConfig)}


@pytest.mark.parametrize(
    "field, value",
    [("blocks", 0), ("hidden", 0), ("dropout", 0.0), ("embedding_scale", 0.0), ("dimension", 1), ("dropout", 0.99)],
)
def test_limits_that_are_allowed(field, value):
    assert getattr(WaveNetworkConfig(**{field: value}), field) == value


def test_a_config_cannot_be_changed_but_copied_with_changes():
    config = WaveNetworkConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dimension = 3
    assert config.replace(dimension=3).dimension == 3 and config.dimension != 3
    with pytest.raises(UserError, match="^hidden: "):
        config.replace(hidden=-1)


def test_every_field_says_what_it_means():
    assert all(field.metadata["help"] for field in dataclasses.fields(WaveNetworkConfig))


BLIND = {"readout": "magnitude", "scope": "text", "wave_residual": False, "blocks": 1}
SHARING = [name for name, operation in OPERATIONS.items() if operation.shares_magnitude]


@pytest.mark.parametrize("operation", SHARING)
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_network_that_cannot_see_its_text_is_refused(operation, blocks):
    with pytest.raises(UserError) as caught:
        WaveNetworkConfig(**{**BLIND, "operation": operation, "blocks": blocks})
    message = str(caught.value)
    assert message.startswith(f"readout: the magnitude of the {operation} in scope text is one number per text")
    assert message.endswith("choose readout both, scope dimension or wave_residual true") and "\n" not in message


@pytest.mark.parametrize("operation", SHARING)
@pytest.mark.parametrize(
    "change", [{"readout": "both"}, {"scope": "dimension"}, {"wave_residual": True}, {"blocks": 0}], ids=str
)
def test_each_remedy_of_the_message_is_accepted(operation, change):
    assert WaveNetworkConfig(**{**BLIND, "operation": operation, **change}).operation == operation


def test_no_other_network_is_refused():
    refused = []
    for row in itertools.product(OPERATIONS, READOUTS, SCOPES, [False, True]):
        try:
            WaveNetworkConfig(**dict(zip(("operation", "readout", "scope", "wave_residual"), row)))
        except UserError:
            refused.append(row)
    assert refused == [(operation, "magnitude", "text", False) for operation in SHARING]


@pytest.mark.parametrize("operation", SHARING)
def test_a_blind_network_gives_all_texts_the_same_logits(operation, monkeypatch):
    """The reason for the refusal: other texts, the same logits but for rounding."""
    monkeypatch.setattr(WaveNetworkConfig, "is_blind", lambda self: False)
    spread = {}
    for readout in ("magnitude", "real"):
        config = WaveNetworkConfig(**{**BLIND, "dimension": 4, "hidden": 5, "operation": operation, "readout": readout})
        logits, _ = WaveNetwork(config, 9, 3, dtype=np.float64).forward(example_batch(9, 3, [2, 4, 3, 6]))
        spread[readout] = np.ptp(logits, axis=0).max()
    assert spread["magnitude"] < 1e-8 < 1e-3 < spread["real"]
