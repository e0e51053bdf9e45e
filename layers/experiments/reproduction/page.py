"""Write the outputs of a reproduction: reproduction.json, figures and a page."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import __version__
from engine.report.figures import WIDTH, looks, write_picture
from engine.report.html import Picture, inline_svg, render, settings_groups
from engine.support.files import write_text
from layers.experiments.reproduction.paper import HEADINGS, TOLERANCE
from layers.experiments.reproduction.plan import FIG7_EPOCHS
from layers.experiments.reproduction.report import label, tables_of
from layers.experiments.reproduction.run import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).parent / "templates" / "reproduction.html"


def record_of(state: State) -> dict[str, Any]:
    """Content of reproduction.json: the settings, the tables as lists of rows, and the result of every job."""
    jobs = {
        job.name: {
            "kind": job.kind,
            "corpus": job.corpus,
            "cell": job.cell,
            "share": job.share,
            "seed": job.settings.training.seed,
            "result": state.found.get(job.name),
            "failed": state.failed.get(job.name),
        }
        for job in state.jobs
    }
    tables = {title: [row._asdict() for row in rows] for title, rows in tables_of(state).items()}
    settings = {"version": __version__, **state.protocol._asdict()}
    return {"settings": settings, "missing": state.missing, "tables": tables, "jobs": jobs}


def write_record(folder: Path, state: State) -> dict[str, Any]:
    """Write reproduction.json, strict JSON, whole or not at all; returns its content."""
    record = record_of(state)
    write_text(folder / "reproduction.json", json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return record


CURVES = {  # kind of job → (name of the file, heading, label of the x axis)
    "convergence": ("convergence", "Test accuracy by batch", "batch"),
    "fig7": ("figure7", f"Validation accuracy in {FIG7_EPOCHS} epochs", "epoch"),
}


def write_report(folder: Path, record: dict[str, Any]) -> None:
    """Write the figures for which there are curves, and reproduction.html. UserError without the extra `plots`."""
    pictures = []
    for kind, (name, heading, x_label) in CURVES.items():
        curves = mean_curves(record, kind)
        if curves:
            path = folder / f"{name}.svg"
            write_picture(path, partial(draw_curves, curves, x_label))
            svg = inline_svg(path.read_text(encoding="utf-8"), name, heading)
            pictures.append(Picture(heading, svg, "The mean of the seeds that have ended."))
    write_text(
        folder / "reproduction.html",
        render(
            TEMPLATE,
            title="The Wave Network paper, repeated",
            headings=HEADINGS,
            tables={title: [list(row.values()) for row in rows] for title, rows in record["tables"].items()},
            missing=record["missing"],
            pictures=pictures,
            tolerance=TOLERANCE,
            settings_shown=list(settings_groups({"protocol": record["settings"]})),
        ),
    )


def mean_curves(record: dict[str, Any], kind: str) -> dict[str, dict[str, list[list[float]]]]:
    """{corpus: {network: [[x, mean of the seeds in percent], …]}} of the results of a kind of job."""
    found: dict[str, dict[str, list[Any]]] = {}
    for job in record["jobs"].values():
        if job["kind"] == kind and job["result"] and job["result"]["curve"]:
            found.setdefault(job["corpus"], {}).setdefault(job["cell"], []).append(job["result"]["curve"])
    return {
        corpus: {cell: (np.mean(seeds, axis=0) * [1, 100]).tolist() for cell, seeds in cells.items()}
        for corpus, cells in found.items()
    }


def draw_curves(curves: dict[str, dict[str, list[list[float]]]], x_label: str) -> Figure:
    """Draw the curves of each corpus in a panel of its own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 4.0 * len(curves)), layout="constrained")
    column = figure.subplots(len(curves), sharey=True, squeeze=False)[:, 0]
    for axes, (corpus, cells) in zip(column, curves.items()):
        for (color, marker, dash), (cell, points) in zip(looks(len(cells)), cells.items()):
            x, y = np.transpose(points)
            axes.plot(x, y, color=color, marker=marker, linestyle=dash, markersize=3, linewidth=1.4, label=label(cell))
        axes.set(title=corpus, xlabel=x_label, ylabel="accuracy [%]")
        axes.legend(frameon=False)
    return figure
