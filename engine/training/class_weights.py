"""Weights of classes in the training loss, from the numbers of training texts.

    none        ω_c = 1
    balanced    ω_c ∝ 1/n_c           all classes weigh the same, Σ over the texts of a class N/C
    sqrt        ω_c ∝ 1/√n_c          half way between, in logarithms
    given       ω_c ∝ a given number, 1 for a class that none is given for

n_c of the N training texts have class c. The constant of proportionality makes the mean weight of a training text 1,
Σ_c n_c·ω_c = N, so that a learning rate keeps its meaning: balanced weights are N/(C·n_c), those of sqrt
N/(√n_c·Σ_k √n_k).
Where a text may have several labels, each class is a decision between no and yes, taken N − n_c and n_c times: two
weights by the same formula. Weights follow from the labels alone, so that a resumed run and all ranks have the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.data.texts import listed, shown
from engine.support.errors import UserError
from engine.support.settings import nearest
from engine.types import Floats, Floats1d, Ints1d

CLASS_WEIGHTS = ("none", "balanced", "sqrt", "given")
FIELD = "class_weight_values"


def parse_weights(text: str) -> dict[str, float]:
    """{class: weight} of "spam=5,ham=1". UserError for anything else than positive numbers behind names."""
    found: dict[str, float] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = pair.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = float("nan")
        if not (equals and name.strip() and 0 < weight < float("inf")):
            raise UserError(f"{FIELD}: expected class=number, the number above 0, got {shown(pair)}")
        if name.strip() in found:
            raise UserError(f"{FIELD}: gives class {shown(name.strip())} two weights; leave one out")
        found[name.strip()] = weight
    return found


def check_class_weights(kind: str, text: str) -> None:
    """Raise UserError unless the fields class_weights and class_weight_values fit together."""
    if bool(parse_weights(text)) != (kind == "given"):
        problem = "are needed" if kind == "given" else "are given"
        remedy = f"set {FIELD}=spam=5,ham=1, say" if kind == "given" else "set class_weights=given, or leave them out"
        raise UserError(f"{FIELD}: values {problem} and class_weights is {kind}; {remedy}")


def given_weights(text: str, classes: Sequence[str]) -> Floats1d:
    """(C,) numbers of a class_weight_values. UserError for a class that does not exist."""
    found = parse_weights(text)
    for name in found:
        if name not in classes:
            raise UserError(
                f"{FIELD}: there is no class {shown(name)}{nearest(name, classes)}; the classes are {listed(classes)}"
            )
    return np.array([found.get(name, 1.0) for name in classes])


def normalized(raw: Floats, counts: Ints1d) -> Floats:
    """Weights in proportion to `raw`, of mean 1 over the texts. raw, counts: alike, summed over the first axis.

    A class without texts, whose weight acts on nothing, gets 1.
    """
    weights: Floats = raw * (counts.sum(axis=0) / (raw * counts).sum(axis=0))
    return np.where(counts > 0, weights, 1.0)


def class_weights(kind: str, text: str, labels: Any, classes: Sequence[str]) -> Floats | None:
    """(C,) weights of classes, (2, C) of a no and a yes where labels are (N, C) booleans; None for kind "none".

    kind, text: the fields class_weights and class_weight_values. labels: of the N training texts.
    """
    if kind == "none":
        return None
    several = labels.ndim == 2
    if several:
        yes = labels.sum(axis=0).astype(np.int64)
        counts = np.stack([len(labels) - yes, yes])
    else:
        counts = np.bincount(labels, minlength=len(classes)).astype(np.int64)
    some = np.maximum(counts, 1)
    if kind == "given":
        given = given_weights(text, classes)
        return normalized(np.stack([np.ones(len(classes)), given]) if several else given, counts)
    return normalized(1 / some if kind == "balanced" else 1 / np.sqrt(some), counts)


def weigh_classes(network: Any, kind: str, text: str, train: RaggedBatch, classes: Sequence[str]) -> None:
    """Give a network the weights of its classes, in the dtype of its parameters."""
    weights = class_weights(kind, text, train.labels, classes)
    if weights is not None:
        network.class_weights = weights.astype(next(iter(network.parameters().values())).value.dtype)
