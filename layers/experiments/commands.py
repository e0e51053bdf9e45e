"""The commands of the experiments: each folder has its own in command.py; that of precision.py stands here."""

import json

import click

from engine.commands.options import json_option, make_log
from engine.support.text import format_table
from layers.experiments.benchmark.command import benchmark
from layers.experiments.complexity.command import complexity
from layers.experiments.gradcheck.command import gradcheck
from layers.experiments.study.command import study
from layers.experiments.trace.command import trace


@click.command(short_help="Show the digits that float32 keeps where one token dominates.")
@click.option(
    "--scope",
    type=click.Choice(["dimension", "text"]),
    default="dimension",
    show_default=True,
    help="Scope over which a magnitude is taken.",
)
@click.option(
    "--tokens", type=click.IntRange(2, 10_000), metavar="N", default=32, show_default=True, help="Tokens per text."
)
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Random seed of the texts."
)
@click.option("--figure", type=click.Path(), metavar="FILE", help="Draw it as well, as .svg or .png (extra plots).")
@json_option
def precision(scope: str, tokens: int, seed: int, figure: str | None, as_json: bool) -> None:
    """Measure errors of Token2Wave in float32, in three ways, against the ratio of a dominating token to the others.

    polar: the equations E1, E2, E3. difference: sqrt(G² − w²). closed form: E4, with which networks are trained.
    """
    from engine.gradcheck.report import json_safe
    from engine.report.figures import Level, Panel, require_plots, write_line_plot
    from layers.experiments.precision import COLUMNS, LABELS, ROUNDING, TEXTS, precision_rows

    if figure is not None:
        require_plots(figure)
    rows = precision_rows(scope, tokens, seed)
    if as_json:
        report = {"scope": scope, "tokens": tokens, "seed": seed, "rows": [row._asdict() for row in rows]}
        click.echo(json.dumps(json_safe(report), indent=2))
    else:
        names = [f"{part}: {way.replace('_', ' ')}" for part in ("im", "dw") for way in LABELS]
        cells = [
            (f"{row.ratio:.0e}", *(f"{error:.1e}" for part in (row.im, row.dw) for error in part.values()))
            for row in rows
        ]
        click.echo(format_table(["ratio", *names], cells, align=">" * 7))
        click.echo(
            f"\nworst error of {TEXTS} texts of {tokens} tokens in {COLUMNS} columns, "
            f"float32 beside float64, scope {scope}, seed {seed}"
        )
        click.echo(f"im: relative; dw: relative to the sizes of its terms; one rounding of float32 is {ROUNDING:.1e}")
    if figure is not None:
        titles = {"im": "imaginary part im", "dw": "gradient dw"}
        panels = [
            Panel(titles[part], {LABELS[way]: [getattr(row, part)[way] for row in rows] for way in LABELS})
            for part in titles
        ]
        levels = (Level(1, "all digits lost"), Level(ROUNDING, "one rounding, 6e-8"))
        ratios, axes = [row.ratio for row in rows], ("dominating token / others", "relative error in float32")
        write_line_plot(figure, ratios, panels, *axes, levels)
        make_log(as_json)(f"drawn: {figure}")


EXPERIMENTS = [gradcheck, precision, trace, study, benchmark, complexity]
