"""The settings that `train --autotune` tries, by model: a row for each field, with its candidate values.

Rows stand in the order in which they are tried first, and so do the values of a row. A field that a user has given is
left alone, and so is one that neither data, network nor training have. The value of the default preset stands in its
row, so that other presets can be led to it. What decides which epoch and which settings are best is no row.
"""

from typing import Any

from layers.networks.presets import ACCURATE, RECOMMENDED

# Where epochs change, the step budget changes by the same factor.
SEARCH_SPACE: dict[str, dict[str, tuple[Any, ...]]] = {
    "wave": {
        "char_ngrams": ("3-5", ""),
        "shortcut": ("naive-bayes", "none"),
        "ngrams": (3, 1, 2),
        "tokens": ("wordpieces", "words"),
        "learning_rate": (1e-3, 2e-3, 5e-4, 2.5e-4),
        "epochs": (12, 6, 3),
        "averaging": (0.5, 0.0),
        "spared_tokens": (0, 10, 50),
        "token_dropout": (0.6, 0.9, 0.4, 0.8),
        "heads": (2, 4, 1),
        "char_heads": (1, 2, 0),
        "other_heads": (1, 0),
        "linear_heads": (1, 2, 0),
        "shortcut_dropout": (0.5, 0.0),
        "operation": ("interference", "modulation"),
        "affixes": (False, True),
        "dimension": (128, 32, 64),
        "label_smoothing": (0.0, 0.2, 0.1),
        "embedding_scale": (0.02, 0.002),
        "class_weights": ("sqrt", "none"),
    },
    "transformer": {
        "learning_rate": (5e-4, 1e-4, 2e-4),
        "epochs": (8, 4, 2),
        "averaging": (0.5, 0.0),
        "dropout": (0.0, 0.2, 0.1),
        "tokens": ("words", "wordpieces"),
        "label_smoothing": (0.1, 0.0),
        "embedding_scale": (0.1, 0.02),
    },
}
# Points that are trained in full before all others. The step budget, which would shrink with the epochs, stays.
FIRST_POINTS: dict[str, list[dict[str, Any]]] = {
    "wave": [{**ACCURATE, "step_budget": RECOMMENDED["step_budget"]}],
    "transformer": [],
}
