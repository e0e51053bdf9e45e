"""The command gradcheck: every equation, layer and network against numerical derivatives."""

import json

import click
from tqdm import tqdm

from engine.arrays.backend import resolve_device
from engine.commands.options import device_option, json_option


@click.command(short_help="Check every equation against numerical derivatives.")
@click.option(
    "--examples",
    type=click.IntRange(1),
    metavar="N",
    default=3,
    show_default=True,
    help="Number of random examples of each row.",
)
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Random seed of the examples."
)
@device_option(help="cuda or auto: hold a GPU against the CPU as well.")
@json_option
@click.pass_context
def gradcheck(ctx: click.Context, /, examples: int, seed: int, device: str, as_json: bool) -> None:
    """Check every equation and layer against numerical derivatives; exit code 1 if any fails."""
    from engine.gradcheck.report import json_safe
    from layers.experiments.gradcheck.suite import run_suite, suite_size, suite_table

    device = resolve_device(device)
    bar = tqdm(
        run_suite(examples, seed, device),
        total=suite_size(device),
        desc="gradient checks",
        unit="check",
        leave=False,
        disable=None,
    )
    results = list(bar)
    ok = all(result.ok for result in results)
    if as_json:
        click.echo(json.dumps(json_safe({"ok": ok, "checks": [result._asdict() for result in results]}), indent=2))
    else:
        click.echo(suite_table(results))
        passed = f"{sum(result.ok for result in results)} of {len(results)} checks passed"
        click.echo(f"\n{passed}, {examples} random examples each, float64, seed {seed}")
    if not ok:
        ctx.exit(1)
