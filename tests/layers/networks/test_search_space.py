"""The search space has fields and values that there are."""

import pytest

from engine.data.config import DataConfig
from engine.support.settings import checked
from engine.sweep.autotune_space import Space, settings_at
from engine.training.config import TrainingConfig
from engine.training.run_settings import build_settings
from layers.networks import CONFIGS, DEFAULTS, FIRST_POINTS, PRESETS, SEARCH_SPACE


@pytest.mark.parametrize("model", CONFIGS)
def test_rows_hold_values_that_their_fields_take(model):
    """Each once, and that of the default preset among them."""
    fields = {**DataConfig.fields(), **CONFIGS[model].fields(), **TrainingConfig.fields()}
    preset = PRESETS[DEFAULTS[model]]
    for name, values in SEARCH_SPACE[model].items():
        assert [checked(fields[name], value) for value in values] == list(values)
        assert len(set(values)) == len(values) > 1
        assert preset.get(name, fields[name].default) in values, name
        assert all(type(value) is type(fields[name].default) for value in values), name


@pytest.mark.parametrize("model", [model for model, points in FIRST_POINTS.items() if points])
def test_first_points_lie_in_the_space(model):
    """Else Space would leave their changes out."""
    points = Space(SEARCH_SPACE[model], 0, lambda point: True, FIRST_POINTS[model]).first_points()
    assert list(points) == FIRST_POINTS[model]


def test_the_first_point_is_the_preset_accurate():
    (point,) = FIRST_POINTS["wave"]
    start, whole = (build_settings(CONFIGS, PRESETS[name]) for name in ("recommended", "accurate"))
    assert settings_at(start, point, CONFIGS) == whole
