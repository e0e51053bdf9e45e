"""The command benchmark: training and prediction timed beside PyTorch, and whole processes beside fastText."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from engine.arrays.backend import resolve_device
from engine.commands.fields import field_option
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
from engine.data.config import DataConfig
from engine.support.errors import UserError
from engine.support.output import echo

# The options of each mode, and what it measures.
MODES: dict[str, tuple[set[str], str]] = {
    "": (
        {"device", "corpus", "only", "repeats", "threads", "peer", "figure", "cache_dir", "as_json"},
        "single figures",
    ),
    "--device": ({"device", "only", "repeats", "peer", "as_json"}, "random texts on a GPU"),
    "--processes": (
        {"processes", "corpus", "train_file", "test_file", "text_columns", "label_column"}
        | {"only", "repeats", "threads", "peer", "cache_dir", "as_json"},
        "whole processes on one corpus",
    ),
    "--ranks": ({"ranks", "only", "repeats", "as_json"}, "steps on the ranks that mpiexec started"),
    "--serve": ({"serve", "corpus", "repeats", "cache_dir", "as_json"}, "a server of its own"),
    "--explore": ({"explore", "repeats", "as_json"}, "a page of its own in a browser"),
    "--scale": ({"scale", "rows", "only", "repeats", "threads", "peer", "figure", "as_json"}, "generated corpora"),
}


@click.command()
@click.option("--processes", is_flag=True, help="Measure whole processes on one corpus, beside fastText and others.")
@click.option("--scale", is_flag=True, help="Measure growth with the number of rows, beside fastText.")
@click.option("--ranks", is_flag=True, help="Measure steps on several ranks, under mpiexec -n N, beside one process.")
@click.option("--serve", is_flag=True, help="Measure a server of its own under a load on 127.0.0.1 (extra explore).")
@click.option("--explore", is_flag=True, help="Measure the page of explore in Chromium (pip install playwright).")
@device_option(help="cuda or auto: steps of the paper's network on a GPU, with random texts of AG News' lengths.")
@click.option(
    "--corpus", metavar="NAME", default="r8", show_default=True, help="Corpus whose texts are trained on and labelled."
)
@field_option(DataConfig, "--train-file", "With --processes: own texts in place of a corpus by name.", metavar="FILE")
@field_option(DataConfig, "--test-file", "With --processes: own test texts.", metavar="FILE")
@field_option(DataConfig, "--text-columns", "Text columns: names or positions from 1.", metavar="NAMES")
@field_option(DataConfig, "--label-column", "Label column: name or position from 1.", metavar="NAME")
@click.option(
    "--rows", metavar="NUMBERS", help="With --scale: rows, comma-separated.  [default: 10000,100000,1000000,3000000]"
)
@click.option(
    "--only",
    metavar="NAMES",
    help="Figures, comma-separated; with --processes and --scale contestants, with --ranks paper_64 and the like.",
)
@number_option("--repeats", 5, "Measurements of each figure; the median counts. With --scale 1 unless given.")
@number_option(
    "--threads",
    0,
    "Threads of both engines, except in memory_… and first_step; 0: as many as they take, and with --processes and "
    "--scale one core for each process.",
    least=0,
)
@click.option(
    "--peer/--no-peer",
    default=None,
    help="Measure the others (extra bench) as well, or not.  [default: PyTorch if it is installed]",
)
@figure_option("Draw time against size as .svg or .png (extra plots).")
@cache_option
@json_option
@click.pass_context
def benchmark(
    ctx: click.Context, /, device: str, only: str | None, repeats: int, peer: bool | None, as_json: bool, **options: Any
) -> None:
    """Measure training, prediction, memory and growth; PyTorch and ours take turns on the same texts.

    With --processes: CPU seconds, wall seconds, peak memory and test accuracy of whole processes. With --scale: the
    same for one epoch over generated corpora of 10,000 to 3,000,000 rows. With --ranks: steps of the presets paper and
    recommended in batches of 64 and 512 texts on the ranks that mpiexec started. With --serve: texts a second and
    latencies of the command serve, held on one core, with short texts of the corpus. With --explore: from the move of
    a slider to its picture, in a browser. On a GPU: steps in batches of 64,
    256 and 1,024 texts in float32 and TF32, their parts, memory, and four epochs.
    Takes about ten minutes on two cores. Nothing else should run meanwhile.
    """
    names = names_in(only) if only else []
    modes = [f"--{name}" for name in ("processes", "ranks", "scale", "serve", "explore") if options.pop(name)]
    if len(modes) > 1:
        raise UserError(f"{' and '.join(modes)}: measure different things; give one of them")
    mode = modes[0] if modes else "--device" if resolve_device(device) == "cuda" else ""
    require_options_of(ctx, mode)
    if mode == "--processes":
        benchmark_processes(names, repeats, peer, as_json, **options)
    elif mode == "--ranks":
        benchmark_ranks(names, repeats, as_json)
    elif mode == "--serve":
        benchmark_serving(options["corpus"], repeats, options["cache_dir"], as_json)
    elif mode == "--explore":
        benchmark_exploring(repeats, as_json)
    elif mode == "--scale":
        repeats = repeats if given_options(ctx, lambda name: name == "repeats") else 1
        benchmark_scale(names, repeats, peer, as_json, options)
    elif mode == "--device":
        benchmark_gpu(only, repeats, peer, as_json)
    else:
        benchmark_cpu(only, repeats, peer, as_json, options)


def require_options_of(ctx: click.Context, mode: str) -> None:
    """Raise UserError where an option is given that has no meaning in the mode, one of MODES."""
    allowed, what = MODES[mode]
    given = given_options(ctx, lambda name: name not in allowed)
    if given and mode:
        shown = f"--device {ctx.params['device']}" if mode == "--device" else mode
        raise UserError(f"{shown}: measures {what}, so {', '.join(given)} cannot be given with it; leave it out")
    if given:
        raise UserError(f"{given[0]}: goes with {'--scale' if given[0] == '--rows' else '--processes'}; give that too")


def benchmark_cpu(only: str | None, repeats: int, peer: bool | None, as_json: bool, options: Mapping[str, Any]) -> None:
    """The command benchmark on a CPU."""
    from engine.report.figures import require_plots
    from layers.experiments.benchmark.cpu import CpuBenchmark
    from layers.experiments.benchmark.harness import as_json_object, as_table, write_figure

    figure = options["figure"]
    if figure is not None:
        require_plots(figure)
    measured = CpuBenchmark(options["corpus"], repeats, options["threads"], peer, options["cache_dir"])
    chosen = chosen_figures(measured, only)
    if figure is not None and not {"length_exponent", "batch_exponent"} & chosen.keys():
        raise UserError(f"--figure {figure}: draws length_exponent and batch_exponent; name one of them in --only")
    with measured.limited_threads():
        measure_all(chosen.values())
        result = as_json_object(measured)
    echo(to_json(result) if as_json else as_table(measured))
    if figure is not None:
        write_figure(figure, measured)
        make_log(as_json)(f"drawn: {figure}")


def benchmark_gpu(only: str | None, repeats: int, peer: bool | None, as_json: bool) -> None:
    """The command benchmark on a GPU, where some of its options have no meaning."""
    from layers.experiments.benchmark.gpu import GpuBenchmark
    from layers.experiments.benchmark.harness import as_json_object, as_table

    measured = GpuBenchmark("cuda", repeats, peer)
    measure_all(chosen_figures(measured, only).values())
    echo(to_json(as_json_object(measured)) if as_json else as_table(measured))


def benchmark_processes(
    only: Sequence[str],
    repeats: int,
    peer: bool | None,
    as_json: bool,
    threads: int,
    cache_dir: str | None,
    figure: None,
    rows: None,
    **data: Any,
) -> None:
    """The command benchmark --processes. data: fields of DataConfig, None where they are not given."""
    from layers.experiments.benchmark.whole_processes import WholeProcesses, as_json_object, as_table

    config = DataConfig(**{name: value for name, value in data.items() if value is not None})
    measured = WholeProcesses(config, only, repeats, threads or 1, peer, cache_dir)
    with tqdm(total=measured.count, desc="benchmark", unit="process", leave=False, disable=None) as bar:
        for number, name in enumerate(measured.measure()):
            bar.set_postfix_str(name)
            bar.update(number > 1)
    echo(to_json(as_json_object(measured)) if as_json else as_table(measured))


def benchmark_ranks(names: Sequence[str], repeats: int, as_json: bool) -> None:
    """The command benchmark --ranks."""
    from engine.training.launchers import launched_ranks
    from layers.experiments.benchmark.ranks import as_table, link, measured

    with launched_ranks() as ranks:
        if ranks.size == 1:
            raise UserError("--ranks: nothing has started several ranks; put mpiexec -n 2 before the command")
        rows, seconds = list(measured(ranks, repeats, names)), link(ranks)
        if ranks.is_root:
            result = {"ranks": ranks.size, "steps": [row._asdict() for row in rows], "link": seconds}
            echo(to_json(result) if as_json else as_table(rows, ranks, seconds))


def benchmark_serving(corpus: str, repeats: int, cache_dir: str | None, as_json: bool) -> None:
    """The command benchmark --serve."""
    from engine.web.server import require_web
    from layers.experiments.benchmark.serving import ServingBenchmark, as_json_object, as_table, short_texts, trained

    require_web("--serve")
    measured = ServingBenchmark(corpus, short_texts(corpus, cache_dir), repeats)
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(total=repeats, desc="benchmark", leave=False, disable=None) as bar,
    ):
        for number in measured.measure(trained(Path(folder), corpus, cache_dir)):
            bar.update(number > 1)
    echo(to_json(as_json_object(measured)) if as_json else as_table(measured))


def benchmark_exploring(repeats: int, as_json: bool) -> None:
    """The command benchmark --explore."""
    from engine.web.server import require_web
    from layers.experiments.benchmark.exploring import ExploreBenchmark, as_json_object, as_table

    require_web("--explore")
    measured = ExploreBenchmark(repeats)
    with tqdm(total=repeats, desc="benchmark", leave=False, disable=None) as bar:
        for number in measured.measure():
            bar.update(number > 1)
    echo(to_json(as_json_object(measured)) if as_json else as_table(measured))


def benchmark_scale(
    only: Sequence[str], repeats: int, peer: bool | None, as_json: bool, options: Mapping[str, Any]
) -> None:
    """The command benchmark --scale. Ctrl-C shows the sizes that are complete."""
    from engine.report.figures import require_plots
    from layers.experiments.benchmark.scale import ROWS, Scale, as_json_object, as_table, write_figure

    figure, rows, log = options["figure"], options["rows"], make_log(as_json)
    if figure is not None:
        require_plots(figure)
    measured = Scale(names_in(rows) if rows else ROWS, only, repeats, options["threads"] or 1, peer)
    try:
        for line in measured.measure():
            log(line)
    finally:
        if measured.found:
            echo(to_json(as_json_object(measured)) if as_json else f"\n{as_table(measured)}")
            if figure is not None:
                write_figure(figure, measured)
                log(f"drawn: {figure}")


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
