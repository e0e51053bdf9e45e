"""The command benchmark: training and prediction timed, beside PyTorch where it is installed."""

from collections.abc import Callable, Iterable
from typing import Any

import click
from tqdm import tqdm

from engine.arrays.backend import resolve_device
from engine.commands.options import (
    cache_option,
    device_option,
    figure_option,
    given_options,
    json_option,
    make_log,
    names_in,
    number_option,
    to_json,
)
from engine.support.errors import UserError


@click.command()
@device_option(help="cuda or auto: steps of the paper's network on a GPU, with random texts of AG News' lengths.")
@click.option(
    "--corpus", metavar="NAME", default="r8", show_default=True, help="Corpus whose texts are trained on and labelled."
)
@click.option("--only", metavar="NAMES", help="Figures to measure, comma-separated.  [default: all]")
@number_option("--repeats", 5, "Measurements of each figure; the median counts.")
@number_option(
    "--threads", 0, "Threads of both engines, except in memory_… and first_step; 0: as many as they take.", least=0
)
@click.option(
    "--peer/--no-peer",
    default=None,
    help="Measure PyTorch (extra bench) as well, or not.  [default: if it is installed]",
)
@figure_option("Draw time against size as .svg or .png (extra plots).")
@cache_option
@json_option
@click.pass_context
def benchmark(
    ctx: click.Context,
    /,
    device: str,
    corpus: str,
    only: str | None,
    repeats: int,
    threads: int,
    peer: bool | None,
    figure: str | None,
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Measure training, prediction, memory and growth; PyTorch and ours take turns on the same texts.

    On a GPU: steps in batches of 64, 256 and 1,024 texts in float32 and TF32, their parts, memory, and four epochs.
    Takes about five minutes on two cores. Nothing else should run meanwhile.
    """
    if resolve_device(device) == "cuda":
        benchmark_gpu(ctx, only, repeats, peer, as_json)
        return
    from engine.report.figures import require_plots
    from layers.experiments.benchmark.cpu import CpuBenchmark
    from layers.experiments.benchmark.harness import as_json_object, as_table, write_figure

    if figure is not None:
        require_plots(figure)
    measured = CpuBenchmark(corpus, repeats, threads, peer, cache_dir)
    chosen = chosen_figures(measured, only)
    if figure is not None and not {"length_exponent", "batch_exponent"} & chosen.keys():
        raise UserError(f"--figure {figure}: draws length_exponent and batch_exponent; name one of them in --only")
    with measured.limited_threads():
        measure_all(chosen.values())
        result = as_json_object(measured)
    click.echo(to_json(result) if as_json else as_table(measured))
    if figure is not None:
        write_figure(figure, measured)
        make_log(as_json)(f"drawn: {figure}")


def benchmark_gpu(ctx: click.Context, only: str | None, repeats: int, peer: bool | None, as_json: bool) -> None:
    """The command benchmark on a GPU, where some of its options have no meaning."""
    from layers.experiments.benchmark.gpu import GpuBenchmark
    from layers.experiments.benchmark.harness import as_json_object, as_table

    given = given_options(ctx, lambda name: name in ("corpus", "threads", "figure", "cache_dir"))
    if given:
        raise UserError(
            f"--device {ctx.params['device']}: measures random texts on a GPU, so {', '.join(given)} cannot be given "
            "with it; leave it out"
        )
    measured = GpuBenchmark("cuda", repeats, peer)
    measure_all(chosen_figures(measured, only).values())
    click.echo(to_json(as_json_object(measured)) if as_json else as_table(measured))


def chosen_figures(measured: Any, only: str | None) -> dict[str, Callable[[], Any]]:
    """{name: function} of the figures named in --only, or of all usual ones. UserError for one that does not exist."""
    usual, further = measured.figures(), measured.further_figures()
    for name in names_in(only) if only else []:
        if name not in usual and name not in further:
            raise UserError(f"--only {name}: is none of the figures {', '.join([*usual, *further])}")
    return {name: {**usual, **further}[name] for name in (names_in(only) if only else usual)}


def measure_all(chosen: Iterable[Callable[[], Any]]) -> None:
    """Measure one figure after the other, with a progress bar."""
    for measure in tqdm(list(chosen), desc="benchmark", unit="figure", leave=False, disable=None):
        measure()
