"""The reliability diagram of a trained run: whether its probabilities are as often right as they say.

engine/training/calibration.py has the measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.report.figures import GREY, GRID, LOOKS, WIDTH
from engine.training.calibration import BINS, Calibration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAR, TEXTS = "#9CC7E4", "#9AA0A8"  # light, so that lines and points on them are seen


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
