"""The settings that `train --autotune` tries, by model: a row for each field, with its candidate values.

Rows stand in the order in which they are tried first, and so do the values of a row. A field that a user has given is
left alone, as is one that neither data, network nor training have. Values around those of the preset `recommended`,
which were of use on validation splits of some corpus at least.
"""

from typing import Any

# Of every model. Where epochs change, the step budget changes by the same factor.
OF_TRAINING: dict[str, tuple[Any, ...]] = {
    "learning_rate": (1e-3, 2e-3, 5e-4, 2.5e-4),
    "epochs": (12, 6, 3),
}
SEARCH_SPACE: dict[str, dict[str, tuple[Any, ...]]] = {
    "wave": {
        "ngrams": (3, 1, 2),
        "tokens": ("wordpieces", "words"),
        **OF_TRAINING,
        "spared_tokens": (0, 10, 50),
        "token_dropout": (0.6, 0.9, 0.4, 0.8),
        "operation": ("interference", "modulation"),
        "affixes": (False, True),
        "dimension": (128, 32, 64),
        "label_smoothing": (0.0, 0.2, 0.1),
        "embedding_scale": (0.02, 0.002),
    },
    "transformer": {
        **OF_TRAINING,
        "dropout": (0.0, 0.2, 0.1),
        "tokens": ("words", "wordpieces"),
        "label_smoothing": (0.1, 0.0),
        "embedding_scale": (0.1, 0.02),
    },
}
