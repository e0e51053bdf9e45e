"""Settings from layers of fields: a preset, then one dict of fields after the other, of which later ones win."""

from typing import NamedTuple

from engine.errors import UserError
from engine.training.run_settings import build_settings, model_of


class Choices(NamedTuple):
    """What there is to choose from. classes: {model: Settings of its network}, the first one by default; presets: {name: dict of fields};
    defaults: {model: name of its preset}."""

    classes: dict
    presets: dict
    defaults: dict


def layered_settings(choices, preset, layers, first=None, option="preset"):
    """RunSettings of a preset (None: that of the model) and dicts of fields, the last of which wins.

    first: fields below `layers`, such as a run's whole config.toml, in which a corpus may stand beside files. Within one of `layers` a
    corpus takes the place of the files of those before it. Who asks for a number of epochs gets it: the preset's step_budget is then out.
    option: how the preset was given, for messages.
    Raises UserError for unknown fields, bad values, a preset of another model, and a corpus beside a train_file.
    """
    asked = {name for layer in (first or {}, *layers) for name in layer}
    resolved = [{"step_budget": 0} if "epochs" in asked and "step_budget" not in asked else {}, first or {}]
    for layer in layers:
        if layer.get("train_file") and "corpus" in layer:
            raise UserError("corpus and train_file: both name the training texts; give one of the two")
        cleared = dict.fromkeys(("train_file", "validation_file", "test_file"), "") if "corpus" in layer else {}
        resolved.append({**cleared, **layer})
    return build_settings(choices.classes, preset_fields(choices, preset, resolved, option), *resolved)


def preset_fields(choices, preset, layers, option):
    """The fields of a preset, by default that of the model which the layers of fields ask for. UserError where the two disagree."""
    asked = {name: value for layer in layers for name, value in layer.items() if name == "model"}
    if preset is None:
        return choices.presets[choices.defaults[model_of(choices.classes, asked)]]
    of_preset = model_of(choices.classes, choices.presets[preset])
    if asked.get("model", of_preset) != of_preset:
        raise UserError(f"{option} {preset}: is of model {of_preset}, but model {asked['model']} is asked for; leave one of the two out")
    return choices.presets[preset]
