"""What there is to choose from in the tests of sweeps: the networks and presets of this project."""

import pytest

from engine.training.run_settings import Choices
from layers.networks import CONFIGS
from layers.networks.presets import DEFAULTS, PRESETS


@pytest.fixture
def choices():
    return Choices(CONFIGS, PRESETS, DEFAULTS)
