"""The command trace: one text through a network and back, with every number shown and every gradient checked."""

import click

from engine.commands.fields import (
    field_option,
)
from engine.commands.options import (
    decoded,
    given_options,
    json_option,
    make_log,
    number_option,
    require_nothing_but,
    to_json,
)
from engine.support.errors import UserError
from engine.support.output import echo
from engine.training.trained_run import open_run
from layers.networks import CONFIGS, WaveNetworkConfig, build_network


@click.command()
@click.argument("arguments", nargs=-1, metavar="[RUN_DIR] TEXT")
@click.option("--label", metavar="NAME", help="Class of the loss.  [default: the predicted one; without RUN_DIR 0]")
@click.option(
    "--model", type=click.Choice(list(CONFIGS)), default="wave", show_default=True, help="Kind of the random network."
)
@field_option(WaveNetworkConfig, "--operation", "Operation of the random Wave Network.")
@field_option(WaveNetworkConfig, "--readout", "Readout of the random Wave Network.")
@number_option("--seed", 0, "Random seed of the random network.", least=0)
@click.option(
    "--dimension-shown",
    "dimension",
    type=click.IntRange(0),
    metavar="K",
    default=0,
    show_default=True,
    help="Dimension of the waves that are drawn as phasors.",
)
@click.option(
    "--values",
    "shown",
    type=click.IntRange(1, 100),
    metavar="N",
    default=4,
    show_default=True,
    help="Number of entries shown of each array.",
)
@click.option(
    "--html", type=click.Path(), metavar="FILE", help="Also write a page with equations and phasors (extra plots)."
)
@json_option
@click.pass_context
def trace(
    ctx: click.Context,
    /,
    arguments: tuple[str, ...],
    label: str | None,
    model: str,
    operation: str | None,
    readout: str | None,
    seed: int,
    dimension: int,
    shown: int,
    html: str | None,
    as_json: bool,
) -> None:
    """Show every value of a text's forward pass and every gradient beside its numerical value.

    The network is the trained one in RUN_DIR, or a small random one that knows just the words of TEXT.
    Exit code 1 if a gradient does not match. A TEXT that begins with a dash comes after two dashes, as in predict.
    """
    from engine.report.html import mathml_converter, require_jinja2
    from engine.support.files import require_writable
    from layers.experiments.trace.page import as_page, write_page
    from layers.experiments.trace.subject import random_subject, trained_subject
    from layers.experiments.trace.table import as_text
    from layers.experiments.trace.trace import as_json_object, trace_subject

    if not 1 <= len(arguments) <= 2:
        raise click.UsageError(
            f"expected TEXT, or RUN_DIR and TEXT, got {len(arguments)} arguments; quote a text of several words", ctx
        )
    if html is not None:
        require_writable(html, "--html")
        require_jinja2("--html")
    to_mathml = None if html is None else mathml_converter()
    text = decoded(arguments[-1], 1)
    if len(arguments) == 2:
        run_dir = arguments[0]
        require_nothing_but(ctx, run_dir, {"arguments", "label", "dimension", "shown", "html", "as_json"})
        run = open_run(run_dir, CONFIGS, build_network)
        require_waves(ctx, run_dir, run.settings.network.model)
        subject = trained_subject(run, text, run_dir, label)
    else:
        require_waves(ctx, f"--model {model}", model)
        subject = random_subject(text, seed, label, model, operation=operation, readout=readout)
    traced = trace_subject(subject, shown, dimension, seed, entries=as_json or html is not None)
    echo(to_json(as_json_object(traced), allow_nan=False) if as_json else as_text(traced))
    if html is not None and to_mathml is not None:
        write_page(html, as_page(traced), to_mathml)
        make_log(as_json)(f"page written to {html}")
    if not traced.ok:
        ctx.exit(1)


def require_waves(ctx: click.Context, given_by: str, model: str) -> None:
    """Raise UserError when options of waves were given for another model. given_by: the argument that says so."""
    given = [] if model == "wave" else given_options(ctx, lambda name: name in ("operation", "readout", "dimension"))
    if given:
        raise UserError(
            f"{given_by}: a {model} has no waves, so {', '.join(given)} cannot be given with it; leave it out"
        )
