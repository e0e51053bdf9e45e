"""The command complexity: parameters, operations, memory and time of models as texts get longer."""

from typing import Any

import click
from tqdm import tqdm

from engine.commands.options import device_option, json_option, make_log, names_in, to_json
from layers.experiments.benchmark.workloads import VOCABULARY
from layers.experiments.complexity.models import LENGTH, LENGTHS, MODELS, TEXTS, TOKENS


@click.command(short_help="Count and measure what models cost as texts get longer.")
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
@click.option(
    "--texts",
    type=click.IntRange(1),
    metavar="N",
    default=TEXTS,
    show_default=True,
    help="Savings: texts in the batch.",
)
@click.option(
    "--length",
    type=click.IntRange(1, VOCABULARY),
    metavar="N",
    default=LENGTH,
    show_default=True,
    help="Savings: length of each text in tokens.",
)
@click.option(
    "--tokens",
    type=click.Choice(TOKENS),
    default=TOKENS[0],
    show_default=True,
    help="Tokens that occur once in a text, or as often as words do.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    metavar="N",
    default=3,
    show_default=True,
    help="Savings: number of measurements; the median counts.",
)
@click.option(
    "--budget",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="Longer updates are counted, not measured.",
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default=True,
    help="Threads of matrix products; 0: as many as they take.",
)
@click.option("--figure", type=click.Path(), metavar="FILE", help="Draw the growth as .svg or .png (extra plots).")
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
    click.echo(to_json(as_json_object(measured)) if as_json else as_table(measured))
    if figure is not None:
        write_figure(figure, measured)
        make_log(as_json)(f"drawn: {figure}")
