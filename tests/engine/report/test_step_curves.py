"""Curves of single runs and of seeds that share a line; those of a study are tested with it."""

import re

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[plots]'")

from engine.report.curve_legend import MARKS
from engine.report.curves import draw_learning
from engine.report.figures import DISTINCT, LOOKS, columns_of, looks, svg_text
from engine.report.series import running_median


def recorded(steps, seed, validation=(10, 20)):
    rng = np.random.default_rng(seed)
    checked = [
        {"step": step, "loss": float(rng.uniform(0.2, 1)), "accuracy": float(rng.uniform(0.5, 1))}
        for step in validation
    ]
    loss, accuracy = rng.uniform(0.1, 2, steps), rng.uniform(0, 1, steps)
    return {
        "step": list(range(1, steps + 1)),
        "loss": loss.tolist(),
        "accuracy": accuracy.tolist(),
        "validation": checked,
    }


def lines_of(axes):
    return [line for line in axes.get_lines() if line.get_linestyle() != "None"]


def marks_of(axes):
    return [line for line in axes.get_lines() if line.get_linestyle() == "None"]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_seeds_share_a_line_in_a_band():
    """The line is their mean, the band goes from the lowest to the highest."""
    seeds = [recorded(30, 1), recorded(24, 2, (10,)), recorded(30, 3)]
    figure = draw_learning({"seeds": seeds, "alone": [recorded(30, 4)]})
    axes = figure.axes[0]
    medians = np.array([running_median(np.array(run["loss"]), 7)[:24] for run in seeds])
    shared, alone = lines_of(axes)
    np.testing.assert_allclose(shared.get_ydata(), medians.mean(axis=0))
    assert shared.get_xdata().tolist() == list(range(1, 25)) and len(alone.get_xdata()) == 30
    points, band, ranges = axes.collections
    edges = band.get_paths()[0].vertices
    for x, low, high in zip(shared.get_xdata(), medians.min(axis=0), medians.max(axis=0)):
        np.testing.assert_allclose(np.unique(edges[edges[:, 0] == x, 1])[[0, -1]], [low, high])
    assert len(points.get_offsets()) == 30 + 24 + 30 + 30
    checked = [run["validation"][0]["loss"] for run in seeds]
    assert marks_of(axes)[0].get_xydata().tolist() == [[10, pytest.approx(np.mean(checked))]]
    assert [segment.tolist() for segment in ranges.get_segments()] == [[[10, min(checked)], [10, max(checked)]]]
    assert legend_of(figure) == [
        "seeds",
        "alone",
        "validation",
        "single step",
        "running median of 7 steps",
        "lowest to highest of the seeds",
    ]


def handles_of(figure):
    """{text of a legend: its marks}."""
    from matplotlib.offsetbox import DrawingArea

    return dict(zip(legend_of(figure), (area.get_children() for area in figure.legends[0].findobj(DrawingArea))))


@pytest.mark.parametrize("count", [1, 3, 5])
def test_the_legend_shows_marks_as_they_are_drawn(count):
    """Validation marks, lines, points and crosses have the colours, markers and dashes of their groups."""
    runs = [recorded(30, seed) for seed in range(count)]
    for run in runs:
        run["loss"][3] = None
    groups = {f"run {seed}": [run] for seed, run in enumerate(runs)}
    figure = draw_learning(groups)
    drawn = figure.axes[0].get_lines()
    hollow = [line for line in drawn if line.get_markerfacecolor() == "none"]
    crosses = [line for line in drawn if line.get_marker() == "x"]
    shown = handles_of(figure)

    def look(line):
        return line.get_color(), line.get_marker(), line.get_linestyle(), line.get_markersize(), line.get_linewidth()

    for text, own in (
        ("validation", hollow),
        ("running median of 7 steps", lines_of(figure.axes[0])),
        ("no finite number", crosses),
    ):
        assert [look(line) for line in shown[text]] == [look(line) for line in own[:MARKS]], text
    assert [line.get_color() for line in shown["single step"]] == [line.get_color() for line in hollow[:MARKS]]
    assert ("run 0" in shown) == (count > 1)  # a single line is explained by what it is


def test_ticks_are_written_as_plain_numbers():
    figure = draw_learning({"a": [recorded(30, 1)]})
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    labels = [label.get_text() for label in [*axis.get_majorticklabels(), *axis.get_minorticklabels()]]
    assert {"0.2", "1"} <= set(labels) and all(re.fullmatch(r"[0-9.]*", label) for label in labels)


def test_single_runs_have_no_band():
    figure = draw_learning({"a": [recorded(30, 1)], "b": [recorded(12, 2, ())]})
    assert len(figure.axes[0].collections) == 1 and "lowest to highest of the seeds" not in legend_of(figure)


@pytest.mark.filterwarnings("error")
def test_names_of_any_kind_are_shown_as_they_are():
    text = svg_text(lambda: draw_learning({name: [recorded(5, 0, ())] for name in ("_x", "$\\frac{$", "政治 & <b>")}))
    assert all(text.count(f">{name}</text>") == 1 for name in ("_x", "$\\frac{$", "政治 &amp; &lt;b&gt;"))


def test_sixteen_looks_differ():
    """The first are those of all pictures."""
    assert tuple(looks(4)) == LOOKS and len(set(looks(DISTINCT))) == DISTINCT == 16 and len(looks(40)) == 40
    assert [look[0] for look in looks(8)] == [look[0] for look in LOOKS] * 2


@pytest.mark.parametrize(
    "names, columns",
    [
        (["a"], 1),
        (["a", "b", "c"], 3),
        (["a"] * 7, 4),
        (["x" * 15] * 3, 3),
        (["x" * 20] * 4, 2),
        (["x" * 60, "a"], 1),
        (["x" * 100], 1),
        (["x" * 25, "x" * 25, "a", "b"], 2),
    ],
)
def test_a_legend_is_as_wide_as_its_names_allow(names, columns):
    assert columns_of(names) == columns
