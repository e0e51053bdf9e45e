"""The command predict."""

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from engine.commands.options import (
    Project,
    decoded,
    device_option,
    file_options,
    require_file,
    with_option,
)
from engine.support.errors import UserError
from engine.support.output import echo, note

if TYPE_CHECKING:
    from engine.data.config import DataConfig
    from engine.serving.answers import Wanted, WantedSets
    from engine.training.prediction import Predictor


def predict_command(project: Project) -> click.Command:
    """The command predict for the networks of a Project."""

    @click.command()
    @click.argument("run_dir", type=click.Path())
    @click.argument("texts", nargs=-1, metavar="[TEXT]...")
    @click.option("--text", "more", multiple=True, metavar="TEXT", help="A TEXT, also the name of a file; repeatable.")
    @click.option(
        "--file",
        type=click.Path(),
        metavar="FILE",
        help="Label the rows of a file of any format that training reads; - is standard input.",
    )
    @file_options
    @click.option(
        "--output",
        type=click.Path(),
        metavar="FILE",
        help="Rows with their labels: .csv, .tsv, .jsonl, .json or .parquet.  [default: CSV on standard output]",
    )
    @click.option(
        "--top",
        type=click.IntRange(1),
        metavar="N",
        help="Tell the N most probable labels.  [default: 1; of a --multi-label run all above their thresholds]",
    )
    @click.option(
        "--threshold",
        type=click.FloatRange(0, 1),
        metavar="P",
        help="Leave the label empty where its probability is smaller; of a --multi-label run, that of all its labels.  "
        "[default: 0; of a --multi-label run its own]",
    )
    @click.option("--probabilities", is_flag=True, help="Tell those of all classes.")
    @with_option
    @device_option()
    @click.option(
        "--json", "as_json", is_flag=True, help="Print a line of JSON for each text, of a TEXT with all probabilities."
    )
    def predict(
        run_dir: str,
        texts: tuple[str, ...],
        more: tuple[str, ...],
        file: str | None,
        output: str | None,
        top: int | None,
        threshold: float | None,
        probabilities: bool,
        others: tuple[str, ...],
        device: str,
        as_json: bool,
        **reading: str | None,
    ) -> None:
        """Label each TEXT, each line of standard input, or each row of --file FILE.

        Prints the class and its probability; with --file all columns of the row before them.
        With several runs (--with) that is the class of the largest mean probability.
        Of a run trained with --multi-label it prints all labels that reach their thresholds, the most probable first,
        an empty line where there are none; with --file they stand in one cell, the separator of the run between them.
        A TEXT that begins with a dash comes after two dashes: predict RUN_DIR -- "-5 degrees".
        """
        from engine.training.run_directory import RunDirectory

        if device != "cpu":
            from engine.arrays.backend import resolve_device

            device = resolve_device(device)
        runs = [run_dir, *others]
        for path in runs:
            RunDirectory.open(path)
        given = [decoded(text, number) for number, text in enumerate((*texts, *more), start=1)]
        require_one_source(given, file, output, reading)
        if output is not None and as_json:
            raise UserError(f"--json: the suffix of --output {output} tells the format; leave one of the two out")
        require_no_file(texts)
        if not given and sys.stdin is None and file in (None, "-"):
            raise UserError(
                "standard input is closed; give each TEXT as an argument, or the texts on standard input, one a line"
            )
        if not given and file in (None, "-") and sys.stdin.isatty():
            echo("reading texts from the terminal, one a line; end with Ctrl-D", err=True)

        from engine.data.lines import line_blocks
        from engine.serving.answers import answers
        from engine.training.prediction import Predictor

        table = None
        if file is not None:
            from engine.commands.label_file import InputTable, label_file

            if output is not None:
                require_output(output)
            table = InputTable(file, reading_of(project, run_dir, file, reading))
        with Predictor(runs, project.configs, project.build_network, device) as predictor:
            wanted = wanted_of(predictor, top, threshold, probabilities, table is not None or as_json)
            if table is not None:
                label_file(predictor, table, wanted, output, as_json, lambda line: note(line, err=True))
                return
            for block, found in predictor.of_blocks([given] if given else line_blocks(sys.stdin.buffer)):
                echo(answers(block, found, predictor.classes, wanted, as_json), nl=False, data=True)

    return predict


def wanted_of(
    predictor: "Predictor", top: int | None, threshold: float | None, probabilities: bool, has_cells: bool
) -> "Wanted | WantedSets":
    """The answer that the options ask for. has_cells: whether it is a row of a table or JSON, not a line."""
    from engine.serving.answers import Wanted, WantedSets

    if predictor.thresholds is None:
        return Wanted(top or 1, threshold or 0.0, probabilities, predictor.factors)
    from engine.data.label_sets import LabelCells

    if probabilities and not has_cells:
        raise UserError("--probabilities: the run gives a text several labels or none; add --json, or use --file")
    thresholds = predictor.thresholds if threshold is None else [threshold] * len(predictor.classes)
    return WantedSets(thresholds, LabelCells(predictor.runs[0].settings.data.label_separator), top, probabilities)


def require_one_source(given: list[str], file: str | None, output: str | None, reading: dict[str, str | None]) -> None:
    """Raise UserError for texts beside a file, and for options of a file without one."""
    if file is not None and given:
        raise UserError(f"--file {file}: labels the rows of a file, so no TEXT can be given with it; leave one out")
    if file is None:
        require_file("--file", {**reading, "output": output})


def require_no_file(texts: tuple[str, ...]) -> None:
    """Raise UserError for a text that is the name of a file: its rows are meant, as a rule."""
    for text in texts:
        if os.path.isfile(text):
            raise UserError(
                f"{text}: is a file; label its rows with --file {text}, or the name itself with --text {text}"
            )


def require_output(output: str) -> None:
    """Raise UserError unless a table can be written to a file of this name."""
    from engine.data.writing import checked_suffix
    from engine.support.files import require_writable

    checked_suffix(output)
    require_writable(output, "--output")


def reading_of(project: Project, run_dir: str, file: str, reading: dict[str, Any]) -> "DataConfig":
    """The DataConfig that says how to read a file to be labelled: text columns are those of the training."""
    from engine.data.reading import for_other_file
    from engine.training.run_directory import RunDirectory
    from engine.training.trained_run import read_run_settings

    data = read_run_settings(RunDirectory.open(run_dir), project.configs).data
    return for_other_file(data, file, {name: value for name, value in reading.items() if value is not None})
