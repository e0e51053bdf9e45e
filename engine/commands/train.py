"""The commands train, evaluate and predict."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.commands.options import (
    Project,
    cache_option,
    chosen_settings,
    data_options,
    decoded,
    device_option,
    json_option,
    make_log,
    network_options,
    require_nothing_but,
    settings_options,
    to_json,
    training_options,
)
from engine.support.errors import UserError
from engine.support.text import format_table
from engine.training.run_settings import RunSettings
from engine.training.session import resume_run, start_run


def train_command(project: Project) -> click.Command:
    """The command train for the networks of a Project."""

    @click.command(short_help="Train a network and measure it (the default command).")
    @settings_options(project)
    @data_options
    @network_options(project)
    @training_options
    @click.option(
        "--output",
        type=click.Path(),
        metavar="DIR",
        help="Run directory.  [default: runs/<date-time>-<corpus>-<network>]",
    )
    @click.option(
        "--resume", type=click.Path(), metavar="RUN_DIR", help="Continue an interrupted run with its own settings."
    )
    @device_option(None, "cpu, cuda, or auto.  [default: cpu, or that of the resumed run]")
    @cache_option
    @json_option
    @click.pass_context
    def train(
        ctx: click.Context,
        /,
        preset: str | None,
        config_file: str | None,
        assignments: tuple[str, ...],
        output: str | None,
        resume: str | None,
        device: str | None,
        cache_dir: str | None,
        as_json: bool,
        **fields: Any,
    ) -> None:
        """Train a network, measure it on the test texts, keep everything in a run directory.

        Ctrl-C saves and stops; --resume RUN_DIR goes on from there.
        """
        log = make_log(as_json)
        if resume is not None:
            require_nothing_but(ctx, f"--resume {resume}", {"resume", "device", "cache_dir", "as_json"})
            result = resume_run(resume, project.configs, project.build_network, device, cache_dir, log)
        else:
            settings = chosen_settings(project, preset, config_file, assignments, fields)
            path, device = output or new_run_path(settings), resolve_device(device or "cpu")
            result = start_run(settings, project.build_network, path, device, cache_dir, log)
        click.echo(to_json(result) if as_json else result_table(result))

    return train


def new_run_path(settings: RunSettings) -> Path:
    """runs/<date-time>-<corpus>-<operation or model>, with a number behind it where that exists."""
    corpus = "files" if settings.data.train_file else settings.data.corpus
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{corpus}-{settings.network.label()}"
    path, number = Path("runs") / name, 2
    while path.exists():
        path, number = Path("runs") / f"{name}-{number}", number + 1
    return path


def result_table(result: dict[str, Any]) -> str:
    """The result of a training run as text: a row per class, then the figures."""
    lines = [""]
    if result["classes"]:
        lines += [class_table(result["classes"]), ""]
    validation = f"{percent(result['validation_accuracy'])} (epoch {result['best_epoch']} of {result['epochs']})"
    figures = [
        ("test accuracy", percent(result["test_accuracy"])),
        ("test macro F1", percent(result["test_macro_f1"])),
        ("validation accuracy", validation),
        ("training time", f"{result['train_seconds']:.1f} s, {result['tokens_per_second']:,.0f} tokens/s"),
        ("peak memory", f"{result['peak_memory_bytes'] / 2**20:,.0f} MiB"),
        ("run directory", result["run_directory"]),
    ]
    width = max(len(name) for name, _ in figures)
    return "\n".join(lines + [f"{name:{width}}  {value}" for name, value in figures])


def percent(share: float | None) -> str:
    """A share in percent, "-" for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def class_table(rows: list[dict[str, Any]]) -> str:
    """Texts, precision, recall and F1 of each class as text."""
    cells = [(r["name"], r["texts"], *(f"{100 * r[k]:.1f} %" for k in ("precision", "recall", "f1"))) for r in rows]
    return format_table(["class", "texts", "precision", "recall", "F1"], cells)


with_option = click.option(
    "--with",
    "others",
    type=click.Path(),
    multiple=True,
    metavar="RUN_DIR",
    help="Average the class probabilities with this run's; repeatable.",
)


def evaluate_command(project: Project) -> click.Command:
    """The command evaluate for the networks of a Project."""

    @click.command(short_help="Measure a trained network on labelled texts.")
    @click.argument("run_dir", type=click.Path())
    @with_option
    @click.option(
        "--test-file", type=click.Path(), metavar="FILE", help="Labelled texts.  [default: the test texts of RUN_DIR]"
    )
    @click.option("--text-columns", metavar="NAMES", help="Text columns: names or positions from 1, comma-separated.")
    @click.option("--label-column", metavar="NAME", help="Label column: name or position from 1.")
    @device_option()
    @cache_option
    @json_option
    def evaluate(
        run_dir: str,
        others: tuple[str, ...],
        test_file: str | None,
        text_columns: str | None,
        label_column: str | None,
        device: str,
        cache_dir: str | None,
        as_json: bool,
    ) -> None:
        """Measure the best checkpoint of RUN_DIR, or the ensemble of several runs, on labelled texts."""
        from engine.training.ensemble import evaluate_ensemble

        changes = {"text_columns": text_columns, "label_column": label_column}
        if not test_file and any(changes.values()):
            raise UserError(
                "--text-columns and --label-column say how to read --test-file FILE; give it too, or leave them out"
            )
        columns = {name: value for name, value in changes.items() if value is not None}
        result, _ = evaluate_ensemble(
            [run_dir, *others],
            project.configs,
            project.build_network,
            resolve_device(device),
            cache_dir,
            test_file,
            columns,
            make_log(as_json),
        )
        classes = [row._asdict() for row in result.classes]
        if as_json:
            click.echo(to_json({**result._asdict(), "classes": classes}))
            return
        click.echo(f"\n{class_table(classes)}\n")
        click.echo(
            f"accuracy {100 * result.accuracy:.2f} %, macro F1 {100 * result.macro_f1:.2f} %, loss {result.loss:.4f}"
        )

    return evaluate


def predict_command(project: Project) -> click.Command:
    """The command predict for the networks of a Project."""

    @click.command(short_help="Label texts with a trained network.")
    @click.argument("run_dir", type=click.Path())
    @click.argument("texts", nargs=-1, metavar="[TEXT]...")
    @with_option
    @device_option()
    @click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each text, with all probabilities.")
    def predict(run_dir: str, texts: tuple[str, ...], others: tuple[str, ...], device: str, as_json: bool) -> None:
        """Label each TEXT, or each line of standard input, with its class and probability.

        With several runs (--with) that is the class of the largest mean probability.
        A TEXT that begins with a dash comes after two dashes: predict RUN_DIR -- "-5 degrees".
        """
        from engine.data.reading import read_lines
        from engine.training.ensemble import common_classes, mean_probabilities

        runs, device = [run_dir, *others], resolve_device(device)
        classes = common_classes(runs)
        if not texts and sys.stdin is None:
            raise UserError(
                "standard input is closed; give each TEXT as an argument, or the texts on standard input, one a line"
            )
        if not texts and sys.stdin.isatty():
            click.echo("reading texts from the terminal, one a line; end with Ctrl-D", err=True)
        given = [decoded(text, number) for number, text in enumerate(texts, start=1)] or read_lines(sys.stdin.buffer)
        predicted = mean_probabilities(runs, given, project.configs, project.build_network, device)
        for text, probabilities in zip(given, predicted):
            best = int(probabilities.argmax())
            if as_json:
                line = {
                    "text": text,
                    "label": classes[best],
                    "probability": float(probabilities[best]),
                    "probabilities": {name: round(float(p), 6) for name, p in zip(classes, probabilities)},
                }
                click.echo(json.dumps(line, ensure_ascii=False))
            else:
                click.echo(f"{classes[best]}\t{probabilities[best]:.4f}")

    return predict
