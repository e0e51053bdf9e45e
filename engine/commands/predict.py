"""The command predict."""

import json
import sys

import click

from engine.commands.options import Project, decoded, device_option, with_option
from engine.support.errors import UserError


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
        from engine.arrays.backend import resolve_device
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
