"""Histograms of phases and magnitudes of a study's waves before and after training, as a matplotlib Figure."""

import numpy as np

from engine.analysis.pictures import GRID, LOOKS
from engine.analysis.study.form import WAVES

BEFORE = "#C4C4C4"


def draw_waves(study):
    """One row a run that has waves; before as a grey area, after as a line. Raises ValueError where no run has any."""
    from matplotlib.figure import Figure

    looks = {name: look for (name, run), look in zip(study["runs"].items(), LOOKS * len(study["runs"])) if run["waves"]}
    if not looks:
        raise ValueError("study: expected a run with waves, got none")
    figure = Figure(figsize=(9.6, 2.2 * len(looks) + 1.0), layout="constrained")
    grid = figure.subplots(len(looks), 2, sharex="col", sharey="col", squeeze=False)
    for row, (name, (color, _, dash)) in zip(grid, looks.items()):
        for axes, (key, words) in zip(row, WAVES.items()):
            draw_histograms(axes, np.asarray(study["bins"][key], float), [e[key] for e in study["runs"][name]["waves"]], color, dash)
            axes.set_title(f"{name}: {words}")
            axes.grid(True, color=GRID, linewidth=0.6)
            axes.set_axisbelow(True)
        row[0].set_ylabel("numbers in a bin [%]")
    label_axes(*grid[-1], study, looks)
    legend(figure, study, looks)
    return figure


def draw_histograms(axes, edges, counts, color, dash):
    """The first histogram as an area, the last one, if it is another, as a line, both in percent of all counts."""
    axes.stairs(shares(counts[0]), edges, fill=True, color=BEFORE)
    if len(counts) > 1:
        axes.stairs(shares(counts[-1]), edges, color=color, linestyle=dash, linewidth=1.6)


def shares(counts):
    """Counts → percent of their sum; zeros where that is 0."""
    counts = np.asarray(counts, float)
    return 100 * counts / (counts.sum() or 1)


def label_axes(phase, magnitude, study, names):
    """What lies along the axes; that of magnitudes shows no empty ends."""
    phase.set_xlabel("phase [rad]")
    phase.set_xticks(np.pi * np.arange(-2, 3) / 2, ["−π", "−π/2", "0", "π/2", "π"])
    magnitude.set_xlabel("log₁₀ of magnitude")
    edges = study["bins"]["log10_magnitude"]
    ends = [entry["log10_magnitude"] for name in names for entry in study["runs"][name]["waves"]]
    filled = np.flatnonzero(np.sum([ends[0], *ends[1:]], axis=0))
    if len(filled):
        magnitude.set_xlim(edges[max(0, filled[0] - 1)], edges[min(len(edges) - 1, filled[-1] + 2)])


def legend(figure, study, looks):
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    first = {study["runs"][name]["waves"][0]["step"] for name in looks}
    handles = [Patch(color=BEFORE, label=f"at step {', '.join(map(str, sorted(first)))}")]
    for name, (color, _, dash) in looks.items():
        waves = study["runs"][name]["waves"]
        if len(waves) > 1:
            handles.append(Line2D([], [], color=color, linestyle=dash, label=f"{name}, at step {waves[-1]['step']}"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, columnspacing=1.5)
