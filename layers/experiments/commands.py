"""The commands gradcheck, precision and complexity; other experiments have a command.py in their folder."""

from typing import Any

import click
from tqdm import tqdm

from engine.arrays.backend import resolve_device
from engine.commands.options import (
    device_option,
    figure_option,
    json_option,
    make_log,
    names_in,
    number_option,
    to_json,
)
from engine.support.output import echo
from engine.support.text import format_table
from layers.experiments.benchmark.workloads import VOCABULARY
from layers.experiments.complexity import LENGTH, LENGTHS, MODELS, TEXTS, TOKENS


@click.command()
@click.argument("words", metavar="[NAME]...", nargs=-1)
@number_option("--examples", 3, "Number of random examples of each row.")
@number_option("--seed", 0, "Random seed of the examples.", least=0)
@device_option(help="cuda or auto: hold a GPU against the CPU as well.")
@json_option
@click.pass_context
def gradcheck(
    ctx: click.Context, /, words: tuple[str, ...], examples: int, seed: int, device: str, as_json: bool
) -> None:
    """Check every equation and layer against numerical derivatives; exit code 1 if any fails.

    NAME: check only what has it in its name, such as E6, modulation or 'layer norm'.
    """
    from engine.gradcheck.report import json_safe
    from layers.experiments.gradcheck.suite import run_suite, suite_size, suite_table

    device = resolve_device(device)
    bar = tqdm(
        run_suite(examples, seed, device, words),
        total=suite_size(device, words),
        desc="gradient checks",
        unit="check",
        leave=False,
        disable=None,
    )
    results = list(bar)
    ok = all(result.ok for result in results)
    if as_json:
        echo(to_json(json_safe({"ok": ok, "checks": [result._asdict() for result in results]})))
    else:
        echo(suite_table(results))
        passed = f"{sum(result.ok for result in results)} of {len(results)} checks passed"
        echo(f"\n{passed}, {examples} random examples each, float64, seed {seed}")
    if not ok:
        ctx.exit(1)


@click.command()
@click.option(
    "--only",
    type=click.Choice(["growth", "savings", "reductions"]),
    metavar="[growth|savings]",
    help="Measure one of the two.  [default: both]",
)
@click.option("--models", metavar="NAMES", default=",".join(MODELS), show_default=True, help="Models, comma-separated.")
@click.option(
    "--lengths",
    metavar="NUMBERS",
    default=",".join(map(str, LENGTHS)),
    show_default=True,
    help="Growth: lengths of a text in tokens, comma-separated.",
)
@number_option("--texts", TEXTS, "Savings: texts in the batch.")
@number_option("--length", LENGTH, "Savings: length of each text in tokens.", most=VOCABULARY)
@click.option(
    "--tokens",
    type=click.Choice(TOKENS),
    default=TOKENS[0],
    show_default=True,
    help="Tokens that occur once in a text, or as often as words do.",
)
@number_option("--repeats", 3, "Savings: number of measurements; the median counts.")
@click.option(
    "--budget",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="Longer updates are counted, not measured.",
)
@number_option("--threads", 0, "Threads of matrix products; 0: as many as they take.", least=0)
@figure_option("Draw the growth as .svg or .png (extra plots).")
@device_option()
@json_option
def complexity(only: str | None, models: str, lengths: str, figure: str | None, as_json: bool, **chosen: Any) -> None:
    """Count and measure parameters, operations, memory and time of a training step: how they grow with the length of a
    text, and by how much a Wave Network needs less than a Transformer at one batch.

    Each model is measured in a process of its own. About nine minutes on two cores. Nothing else should run meanwhile.
    """
    from engine.report.figures import require_plots
    from layers.experiments.complexity.report import as_json_object, as_table, write_figure
    from layers.experiments.complexity.run import Complexity, checked_kinds

    kinds = checked_kinds(only, names_in(models), figure)
    if figure is not None:
        require_plots(figure)
    measured = Complexity(models=names_in(models), lengths=names_in(lengths), **chosen)
    count = sum(map(measured.count, kinds))
    with tqdm(total=count, desc="complexity", unit="figure", leave=False, disable=None) as bar:
        for kind in kinds:
            for done in measured.measure(kind):
                bar.set_postfix_str(done, refresh=False)
                bar.update()
    echo(to_json(as_json_object(measured)) if as_json else as_table(measured))
    if figure is not None:
        write_figure(figure, measured)
        make_log(as_json)(f"drawn: {figure}")


@click.command()
@click.option(
    "--scope",
    type=click.Choice(["dimension", "text"]),
    default="dimension",
    show_default=True,
    help="Scope over which a magnitude is taken.",
)
@number_option("--tokens", 32, "Tokens per text.", least=2, most=10_000)
@number_option("--seed", 0, "Random seed of the texts.", least=0)
@figure_option("Draw it as well, as .svg or .png (extra plots).")
@json_option
def precision(scope: str, tokens: int, seed: int, figure: str | None, as_json: bool) -> None:
    """Measure errors of Token2Wave in float32, in three ways, against the ratio of a dominating token to the others.

    polar: the equations E1, E2, E3. difference: sqrt(G² − w²). closed form: E4, with which networks are trained.
    """
    from engine.gradcheck.report import json_safe
    from engine.report.figures import require_plots
    from engine.report.line_plot import Level, Panel, write_line_plot
    from layers.experiments.precision import COLUMNS, LABELS, ROUNDING, TEXTS, precision_rows

    if figure is not None:
        require_plots(figure)
    rows = precision_rows(scope, tokens, seed)
    if as_json:
        report = {"scope": scope, "tokens": tokens, "seed": seed, "rows": [row._asdict() for row in rows]}
        echo(to_json(json_safe(report)))
    else:
        names = [f"{part}: {way.replace('_', ' ')}" for part in ("im", "dw") for way in LABELS]
        cells = [
            (f"{row.ratio:.0e}", *(f"{error:.1e}" for part in (row.im, row.dw) for error in part.values()))
            for row in rows
        ]
        echo(format_table(["ratio", *names], cells, align=">" * 7))
        echo(
            f"\nworst error of {TEXTS} texts of {tokens} tokens in {COLUMNS} columns, "
            f"float32 beside float64, scope {scope}, seed {seed}"
        )
        echo(f"im: relative; dw: relative to the sizes of its terms; one rounding of float32 is {ROUNDING:.1e}")
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
