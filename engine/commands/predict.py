"""The command predict."""

import json
import sys
from typing import TYPE_CHECKING

import click

from engine.commands.options import Project, decoded, device_option, with_option
from engine.support.errors import UserError

if TYPE_CHECKING:
    from engine.types import Floats2d


def predict_command(project: Project) -> click.Command:
    """The command predict for the networks of a Project."""

    @click.command()
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
        from engine.training.run_directory import RunDirectory

        if device != "cpu":
            from engine.arrays.backend import resolve_device

            device = resolve_device(device)
        runs = [run_dir, *others]
        for path in runs:
            RunDirectory.open(path)
        if not texts and sys.stdin is None:
            raise UserError(
                "standard input is closed; give each TEXT as an argument, or the texts on standard input, one a line"
            )
        given = [decoded(text, number) for number, text in enumerate(texts, start=1)]
        if not given and sys.stdin.isatty():
            click.echo("reading texts from the terminal, one a line; end with Ctrl-D", err=True)

        from engine.data.lines import line_blocks
        from engine.training.prediction import Predictor

        with Predictor(runs, project.configs, project.build_network, device) as predictor:
            for block, probabilities in predictor.of_blocks([given] if given else line_blocks(sys.stdin.buffer)):
                click.echo(answers(block, probabilities, predictor.classes, as_json), nl=False)

    return predict


def answers(texts: list[str], probabilities: "Floats2d", classes: list[str], as_json: bool) -> str:
    """A line for each text: its class, a tab and its probability, or JSON with all probabilities."""
    labels = [classes[best] for best in probabilities.argmax(axis=1).tolist()]
    if not as_json:
        most = probabilities.max(axis=1).tolist()
        return "".join([f"{label}\t{probability:.4f}\n" for label, probability in zip(labels, most)])
    lines = (
        {
            "text": text,
            "label": label,
            "probability": max(row),
            "probabilities": {name: round(p, 6) for name, p in zip(classes, row)},
        }
        for text, label, row in zip(texts, labels, probabilities.tolist())
    )
    return "".join([json.dumps(line, ensure_ascii=False) + "\n" for line in lines])
