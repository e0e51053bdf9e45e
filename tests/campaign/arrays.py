"""Odd arrays and settings for the estimator: it learns from them, or raises the errors that scikit-learn expects."""

import warnings
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from tests.campaign.mutate import VALUES, WORDS

TEXTS = ["the ball and goal", "the rate of bank", "goal of the team", "bank and dollar", "", "a team of the ball"] * 3
LABELS = ["sport", "money"] * 9
ODD_TEXTS = ["\0", "\ud800", "a\x1b[31m", "\u202e", "x" * 100_000, " ", "\n", "ß" * 99, "١٢٣", "a b " * 5000]
ODD_LABELS: list[Any] = [
    *VALUES, b"a", 1j, np.nan, np.inf, np.datetime64("NaT"), np.datetime64("2020-01-01"), (1, 2), {1}, object(),
    10**400, np.float16(1), np.str_("a"), np.bool_(True), range(2), "\udcff", "a" * 10_000,
]  # fmt: skip
SETTINGS = ["epochs", "dimension", "batch_size", "dropout", "learning_rate", "vocabulary_size", "operation", "model",
            "validation_fraction", "preset", "random_state", "device", "hidden", "threads", "class_weight_values",
            "decision", "ngrams", "max_tokens", "tokens"]  # fmt: skip
SMALL = {"epochs": 1, "dimension": 4, "vocabulary_size": 60, "threads": 1}


def wrapped(rng: Random, values: list[Any]) -> Any:
    """The values as another kind of object."""

    def as_objects(values: list[Any]) -> Any:
        array = np.empty(len(values), object)
        array[:] = values
        return array

    ways: list[Callable[[list[Any]], Any]] = [
        list, list, tuple, iter, np.array, as_objects, as_objects, lambda v: as_objects(v)[:, None],
        lambda v: np.array(v, "S9"), lambda v: np.ma.masked_all(len(v)), lambda v: np.zeros((len(v), 2)),
        lambda v: np.array(v, dtype=[("a", "U5")]), lambda v: {i: x for i, x in enumerate(v)}, lambda v: len(v),
        lambda v: np.array(v[0]), lambda v: as_objects(v)[::-1], lambda v: np.array([], "U1"), lambda v: None,
        lambda v: v[:1], lambda v: [v], lambda v: memoryview(b"abc"), lambda v: np.random.default_rng(0).random(len(v)),
        lambda v: "".join(map(str, v)), lambda v: as_objects(v).reshape(2, -1), lambda v: np.array(v).view(np.recarray),
    ]  # fmt: skip
    return rng.choice(ways)(values) if rng.random() < 0.4 else values


def changed(rng: Random, values: list[Any], others: list[Any]) -> list[Any]:
    """The values with some of them replaced, dropped or repeated."""
    values = list(values)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 9))):
        values[rng.randrange(len(values))] = rng.choice(others)
    return values if rng.random() < 0.9 else values[: rng.randrange(len(values))] + values[:1]


def odd_arrays(rng: Random) -> tuple[str | None, str, str]:
    """Fit and predict once: (what is wrong, how to repeat it, the outcome)."""
    from layers.estimator import WaveClassifier

    given: Any = dict(SMALL)
    for name in rng.sample(SETTINGS, rng.choice((0, 0, 0, 1, 2))):
        given[name] = rng.choice([*VALUES, *WORDS])
    given.update({name: SMALL[name] for name in ("epochs", "threads") if too_long(given.get(name))})
    X: Any = None
    y: Any = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                X = wrapped(rng, changed(rng, TEXTS, [*ODD_TEXTS, *VALUES] if rng.random() < 0.5 else ODD_TEXTS))
                y = wrapped(rng, changed(rng, LABELS, ODD_LABELS) if rng.random() < 0.5 else LABELS)
            except Exception:  # which NumPy itself does not make
                return None, "", "arrays that NumPy refuses"
            told = f"{given} {X!r:.500} {y!r:.500}"
            model = WaveClassifier(**given).fit(X, y)
            new = changed(rng, TEXTS, ODD_TEXTS)
            p, found = model.predict_proba(new), model.predict(new)
    except (ValueError, TypeError) as error:
        long = f"an error of {len(str(error))} characters {told}" if len(str(error)) > 20_000 else None
        return long, str(given), "arrays refused"
    except BaseException as error:
        return f"{type(error).__name__}: {error} {told}", str(given), "found"
    whole = p.shape == (len(new), len(model.classes_)) and np.allclose(p.sum(axis=1), 1) and len(found) == len(new)
    whole = whole and found.dtype == model.classes_.dtype
    return None if whole else f"no probabilities {told}", str(given), "arrays learned"


def too_long(value: Any) -> bool:
    """Whether a value of a setting may be a large number, which only takes long."""
    try:
        return float(value) > 50
    except (TypeError, ValueError, OverflowError):
        return isinstance(value, int)
