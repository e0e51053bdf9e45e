"""The figures that the paper prints, when one of ours agrees with them, and where they disagree with each other.

Source: Zhang & Sheng, arXiv 2411.02674 version 4. Accuracies in percent, memory in GB, times in seconds an epoch,
parameters in millions, without the embedding table.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from engine.support.settings import Settings
from engine.sweep.results import mean_and_spread
from engine.training.run_settings import build_settings
from layers.networks import CONFIGS, build_network
from layers.networks.presets import PRESETS

TABLE1 = {("ag_news", "interference"): 90.36, ("ag_news", "modulation"): 91.29}
TABLE2 = {
    ("ag_news", "interference"): 90.91,
    ("ag_news", "modulation"): 91.66,
    ("dbpedia_14", "interference"): 97.93,
    ("dbpedia_14", "modulation"): 98.05,
    ("imdb", "interference"): 87.00,
    ("imdb", "modulation"): 87.02,
}
MEMORY = {
    ("ag_news", "interference"): 0.30,
    ("ag_news", "modulation"): 0.32,
    ("dbpedia_14", "interference"): 0.30,
    ("dbpedia_14", "modulation"): 0.30,
    ("imdb", "interference"): 0.37,
    ("imdb", "modulation"): 0.37,
}
SECONDS = {
    ("ag_news", "interference"): 146.90,
    ("ag_news", "modulation"): 147.02,
    ("dbpedia_14", "interference"): 979.78,
    ("dbpedia_14", "modulation"): 991.15,
    ("imdb", "interference"): 119.57,
    ("imdb", "modulation"): 119.96,
}
PARAMETERS = 2.4  # millions
BERT, TRANSFORMER = "BERT base", "Transformer on BERT's embeddings"
PRETRAINED = {  # (corpus, model) → accuracy, memory, seconds an epoch
    ("ag_news", TRANSFORMER): (71.68, 0.85, 173.25),
    ("ag_news", BERT): (94.64, 1.28, 1034.99),
    ("dbpedia_14", BERT): (99.28, 1.27, 2734.76),
    ("imdb", BERT): (93.94, 1.27, 220.46),
}
FIGURE7 = {  # read off the figure: share of training and validation texts labelled right, in percent
    ("interference", "validation accuracy, last epoch"): 90.3,
    ("modulation", "validation accuracy, last epoch"): 91.3,
    ("Transformer", "training accuracy, last epoch"): 71.7,
    ("Transformer", "best validation accuracy"): 84.4,
    ("Transformer", "validation accuracy, last epoch"): 79.4,
}
VOCABULARY, DIMENSION, BERT_PARAMETERS = 30_522, 768, 109.5e6
ADAM_BYTES = 12  # of a parameter in float32: its value and two moments
GIB = 2**30

TOLERANCE = {"accuracy": 0.5, "memory": 0.02, "parameters": 0.05}  # points, GB, millions
YES, NO, UNKNOWN, NOT_RUN = "yes", "no", "cannot be told", "not run"
NONE = "–"  # stands for a figure that there is not
HEADINGS = ["", "paper", "here", "agrees?"]


class Row(NamedTuple):
    """A line of a table: texts of what is measured, the paper's figure, ours, and whether they agree."""

    what: str
    paper: str
    here: str
    agrees: str


def agreement(quantity: str, paper: float | None, values: Sequence[float | None], other: str = "") -> str:
    """YES, NO or UNKNOWN with the reason: whether figures, one a seed, agree with that of the paper.

    They do where their mean is within TOLERANCE of it, or where it lies between the smallest and the largest of them.
    A single seed farther away says nothing. other: what else differs from the paper's experiment, or "".
    """
    known = [value for value in values if value is not None]
    if paper is None:
        return UNKNOWN
    if not known or len(known) < len(values):
        return NOT_RUN
    if other:
        return f"{UNKNOWN}: {other}"
    if quantity not in TOLERANCE:
        return f"{UNKNOWN}: another machine"
    mean, _ = mean_and_spread(known)
    assert mean is not None
    if abs(mean - paper) <= TOLERANCE[quantity] + 1e-9 or min(known) <= paper <= max(known):
        return YES
    return NO if len(known) > 1 else f"{UNKNOWN}: one seed"


def comparison(
    what: str, quantity: str, form: str, paper: float | None, values: Sequence[float | None], other: str = ""
) -> Row:
    """The Row of figures, one a seed; None for those not measured. form: of a number, such as "{:.2f} %"."""
    mean, spread = mean_and_spread(values)
    here = NOT_RUN if mean is None else form.format(mean)
    if mean is not None and spread is not None:
        here += f" ± {form.format(spread)}"
    return Row(what, NONE if paper is None else form.format(paper), here, agreement(quantity, paper, values, other))


def saving(value: float, reference: float) -> float:
    """By how much percent a value differs from a reference; negative where it is less."""
    return 100 * (value / reference - 1)


def same(printed: float, computed: float, digits: int) -> str:
    """Whether a figure printed with so many digits after the point is a computed one."""
    return YES if abs(printed - computed) <= 0.5001 * 10.0**-digits else NO


def contradictions() -> list[Row]:
    """Figures and statements of the paper beside what its other figures and formulas give."""
    ours, bert = ("ag_news", "modulation"), PRETRAINED["ag_news", BERT]
    transformer = PRETRAINED["ag_news", TRANSFORMER][0]
    memory, seconds, rows = MEMORY[ours], SECONDS[ours], []

    def check(what: str, printed: float, computed: float, unit: str, digits: int = 2) -> None:
        before, after = (f"{value:.{digits}f} {unit}".strip() for value in (printed, computed))
        rows.append(Row(what, before, after, same(printed, computed, digits)))

    for gb in (memory, MEMORY["ag_news", "interference"], 0.29):
        check(f"memory saved (abstract), from {gb:.2f} GB and {bert[1]:.2f} GB", -77.34, saving(gb, bert[1]), "%")
    check("memory of modulation, from what is saved", memory, bert[1] * (1 - 0.7734), "GB")
    check(f"time saved (abstract), from {seconds:.2f} s and {bert[2]:.2f} s", -85.62, saving(seconds, bert[2]), "%")
    check("time of modulation, from what is saved", seconds, bert[2] * (1 - 0.8562), "s")
    margins = {"interference": (19.23, 18.68), "modulation": (19.98, 19.61)}
    for name, (abstract, section5) in margins.items():
        for where, printed in (("abstract", abstract), ("section 5", section5)):
            for number, table in enumerate((TABLE1, TABLE2), start=1):
                computed = table["ag_news", name] - transformer
                check(
                    f"margin of {name} over the Transformer ({where}), from Table {number}", printed, computed, "points"
                )
        check(f"accuracy of {name} in Table 1, from Table 2", TABLE1["ag_news", name], TABLE2["ag_news", name], "%")
    read_off = FIGURE7["Transformer", "best validation accuracy"]
    check(
        "test accuracy of the Transformer (Table 1), from its best validation accuracy in Fig. 7",
        transformer,
        read_off,
        "%",
        1,
    )
    check(
        "the same, from its training accuracy at the end of Fig. 7",
        round(transformer, 1),
        FIGURE7["Transformer", "training accuracy, last epoch"],
        "%",
        1,
    )
    check(
        "margin of modulation over the Transformer (section 5), from the validation accuracies in Fig. 7",
        margins["modulation"][1],
        FIGURE7["modulation", "validation accuracy, last epoch"] - read_off,
        "points",
        1,
    )
    check("epochs of all models (section 5), from Fig. 7", 4, 100, "epochs", 0)
    check('"sum of the magnitudes" of 3 and 4 (section 3.1.1), from its formula', 3 + 4, math.hypot(3, 4), "", 0)
    ratios = np.linspace(-1, 1, 2001)
    angles = np.arctan2(np.sqrt(1 - ratios**2), ratios)
    check("smallest angle in multiples of π (section 3.1.2), from its formula", -1, float(angles.min()) / math.pi, "")
    embedding = VOCABULARY * DIMENSION / 1e6
    check("parameters in millions, with the embedding table", PARAMETERS, embedding + PARAMETERS, "M", 1)
    held = 1e6 * (embedding + PARAMETERS) * ADAM_BYTES / GIB
    check("memory of modulation, from weights and two moments", memory, held, "GB")
    check("memory of BERT base, from weights and two moments", bert[1], BERT_PARAMETERS * ADAM_BYTES / GIB, "GB")
    return rows


READINGS = {
    "two maps, hidden layer of 768": {"variants": "embeddings", "hidden": 768},
    "no maps, hidden layer of 1,536": {"variants": "none", "hidden": 1536},
}


@cache
def parameter_readings() -> list[Row]:
    """The number of parameters beside the embedding table for each reading of the paper, four classes."""
    rows = []
    for name, fields in READINGS.items():
        network = build_settings(CONFIGS, PRESETS["paper"], fields).network
        count = parameters_beside_table(network, 4)
        rows.append(comparison(name, "parameters", "{:.4g} M", PARAMETERS, [count / 1e6]))
    return rows


@cache
def parameters_beside_table(network: Settings, classes: int) -> int:
    """The number of parameters of a network's config that are not in its table of token embeddings."""
    parameters = build_network(network, 5, classes).parameters()
    return sum(p.value.size for name, p in parameters.items() if name != "embedding.table")
