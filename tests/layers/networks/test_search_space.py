"""The search space has fields and values that there are."""

import pytest

from engine.data.config import DataConfig
from engine.support.settings import checked
from engine.training.config import TrainingConfig
from layers.networks import CONFIGS, DEFAULTS, PRESETS, SEARCH_SPACE

# Of fields that a row may name although not every version has them.
OPTIONAL = {"char_ngrams", "shortcut", "heads", "averaging", "class_weights"}


@pytest.mark.parametrize("model", CONFIGS)
def test_rows_hold_values_that_their_fields_take(model):
    """Each once, and that of the default preset among them."""
    fields = {**DataConfig.fields(), **CONFIGS[model].fields(), **TrainingConfig.fields()}
    preset = PRESETS[DEFAULTS[model]]
    for name, values in SEARCH_SPACE[model].items():
        assert name in fields or name in OPTIONAL, name
        if name in fields:
            assert [checked(fields[name], value) for value in values] == list(values)
            assert len(set(values)) == len(values) > 1
            assert preset.get(name, fields[name].default) in values, name
            assert all(type(value) is type(fields[name].default) for value in values), name
