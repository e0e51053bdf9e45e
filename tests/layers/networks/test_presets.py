"""Presets may set any field, but only to what its field allows."""

import dataclasses

import pytest

from layers.networks import CONFIGS
from layers.networks.presets import DEFAULTS, PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_the_network_fields_of_a_preset_are_valid(name):
    cls = CONFIGS[PRESETS[name].get("model", "wave")]
    fields = {field.name for field in dataclasses.fields(cls)}
    of_network = {key: value for key, value in PRESETS[name].items() if key in fields}
    config = cls(**of_network)
    assert all(getattr(config, key) == value for key, value in of_network.items())


def test_the_paper_preset_has_the_sizes_of_the_paper():
    config = PRESETS["paper"]
    assert (config["dimension"], config["hidden"], config["vocabulary_size"]) == (768, 768, 30522)
    assert (config["epochs"], config["batch_size"], config["learning_rate"]) == (4, 64, 1e-3)


def test_every_model_has_a_preset_of_its_own_by_default():
    assert list(DEFAULTS) == list(CONFIGS)
    assert all(PRESETS[preset].get("model", "wave") == model for model, preset in DEFAULTS.items())
