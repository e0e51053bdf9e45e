"""The mathematics of the Wave Network: one equation a file, forward and backward side by side, derived in x.md.

WaveClassifier, TextModel and make_settings are imported when they are asked for: `import layers` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layers.estimator import WaveClassifier
    from layers.model import TextModel, make_settings

PLACES = {"WaveClassifier": "layers.estimator", "TextModel": "layers.model", "make_settings": "layers.model"}
__all__ = ["TextModel", "WaveClassifier", "make_settings"]


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(PLACES[name]), name)
