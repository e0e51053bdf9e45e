"""What a network may be, and how a wrong field is refused."""

import dataclasses

import pytest

from engine.support.errors import UserError
from layers.networks import WaveNetworkConfig

WRONG = {
    "model": ["transformer", "", None],
    "dimension": [0, -1, 1.5, "wide", True, None],
    "blocks": [-1, 0.5, "two"],
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
