"""Calibration of a trained run: whether its probabilities are as often right as they say, measured and drawn.

The N predictions are sorted by p, the probability of the predicted class, into B = BINS bins of equal width: bin b
holds those with (b − 1)/B < p ≤ b/B. In a bin of n_b predictions a_b is the share that is right, and p_b the mean of p.
The expected calibration error is

    ECE = Σ_b n_b/N · |a_b − p_b|

in [0, 1]; empty bins add nothing. Source: M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated
Probabilities Using Bayesian Binning", AAAI 2015; C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern
Neural Networks", ICML 2017 (arXiv:1706.04599, equations 2, 3 and 5), whose 15 bins are taken here. The error depends on
the bins, so that only errors of equal bins can be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.report.figures import GREY, GRID, LOOKS, WIDTH
from engine.types import Floats1d

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 15
BAR, TEXTS = "#9CC7E4", "#9AA0A8"  # light, so that lines and points on them are seen


class Bin(NamedTuple):
    """Predictions with low < p ≤ high. probability: mean of p; accuracy: share that is right; both 0 without texts."""

    low: float
    high: float
    texts: int
    probability: float
    accuracy: float


class Calibration(NamedTuple):
    """Calibration of N predictions.

    probability, accuracy: over all of them. error: the expected calibration error. All are 0 without predictions.
    """

    bins: list[Bin]
    probability: float
    accuracy: float
    error: float


def calibrate(right: npt.NDArray[np.bool_], probability: Floats1d) -> Calibration:
    """Measure the calibration of N predictions.

    right: (N,) whether each is right; probability: (N,) that of the predicted class, in [0, 1].
    """
    index = np.clip(np.ceil(probability * BINS).astype(np.int64) - 1, 0, BINS - 1)
    texts = np.bincount(index, minlength=BINS)
    count = np.maximum(texts, 1)
    mean = np.bincount(index, probability, BINS) / count
    share = np.bincount(index, right, BINS) / count
    total = max(1, len(right))
    error = float((texts * np.abs(share - mean)).sum()) / total
    edges = [number / BINS for number in range(BINS + 1)]
    bins = [Bin(*row) for row in zip(edges, edges[1:], texts.tolist(), mean.tolist(), share.tolist())]
    return Calibration(bins, float(probability.sum()) / total, float(right.sum()) / total, error)


def draw_reliability(calibration: Calibration) -> Figure:
    """Draw the reliability diagram: for each bin the share that is right over p, and below it the number of texts."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    filled = [one for one in calibration.bins if one.texts]
    left = [100 * one.low for one in filled]
    style = {"width": 100 / BINS, "align": "edge", "edgecolor": "white", "linewidth": 0.6, "zorder": 2}
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.bar(left, [100 * one.accuracy for one in filled], color=BAR, label="labelled right", **style)
    means = [100 * one.probability for one in filled], [100 * one.accuracy for one in filled]
    upper.plot(*means, "o", color=LOOKS[0][0], markersize=4, zorder=4, clip_on=False, label="at the bin's mean p")
    upper.plot(
        (0, 100), (0, 100), color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=3, label="perfect calibration"
    )
    upper.set(xlim=(0, 100), ylim=(0, 100), ylabel="labelled right [%]")
    lower.bar(left, [one.texts for one in filled], color=TEXTS, **style)
    lower.set(xlabel="probability p of the predicted class [%]", ylabel="texts")
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axes in (upper, lower):
        axes.grid(True, color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, columnspacing=1.5)
    return figure
