"""The commands evaluate and predict: trained networks on labelled texts and on new ones."""

import json
import sys

import click

from engine.arrays.backend import resolve_device
from engine.commands.options import Project, cache_option, decoded, device_option, json_option, make_log, to_json
from engine.commands.train import class_table
from engine.support.errors import UserError

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
        from engine.data.prepare import read_lines
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
