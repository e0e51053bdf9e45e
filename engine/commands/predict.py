"""The command predict."""

import json
import sys
from typing import TYPE_CHECKING

import click

from engine.commands.options import Project, decoded, device_option, with_option
from engine.support.errors import UserError

if TYPE_CHECKING:
    from engine.types import Floats1d, Floats2d


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

        With several runs (--with) that is the class of the largest mean probability. A run trained with --multi-label
        prints all classes above their thresholds, the most probable first: an empty line where there is none.
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
                if predictor.thresholds is None:
                    lines = answers(block, probabilities, predictor.classes, as_json)
                else:
                    lines = answers_of_sets(block, probabilities, predictor.classes, predictor.thresholds, as_json)
                click.echo(lines, nl=False)

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


def answers_of_sets(
    texts: list[str], probabilities: "Floats2d", classes: list[str], thresholds: "Floats1d", as_json: bool
) -> str:
    """A line for each text that may have several labels: each class above its threshold, a tab and its probability.

    The most probable one comes first. JSON has all probabilities.
    """
    lines = []
    for text, row in zip(texts, probabilities):
        chosen = [c for c in (-row).argsort(kind="stable").tolist() if row[c] >= thresholds[c]]
        if as_json:
            named = {name: round(p, 6) for name, p in zip(classes, row.tolist())}
            line = {"text": text, "labels": [classes[c] for c in chosen], "probabilities": named}
            lines.append(json.dumps(line, ensure_ascii=False))
        else:
            lines.append("\t".join(f"{classes[c]}\t{row[c]:.4f}" for c in chosen))
    return "".join([line + "\n" for line in lines])
