"""The command evaluate."""

from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.commands.options import (
    Project,
    all_classes_option,
    cache_option,
    device_option,
    file_options,
    json_option,
    make_log,
    require_file,
    to_json,
    with_option,
)
from engine.support.output import echo
from engine.support.text import format_table, sanitize

SHOWN_CLASSES = 10  # of the largest, and of the worst
NAME_CHARACTERS = 40  # of a class in a table: it then fits into 80 columns


def evaluate_command(project: Project) -> click.Command:
    """The command evaluate for the networks of a Project."""

    @click.command()
    @click.argument("run_dir", type=click.Path())
    @with_option
    @click.option(
        "--test-file", type=click.Path(), metavar="FILE", help="Labelled texts.  [default: the test texts of RUN_DIR]"
    )
    @file_options
    @click.option("--label-column", metavar="NAME", help="Label column: name or position from 1.")
    @click.option("--label-separator", metavar="TEXT", help="What stands between labels.  [default: as in training]")
    @click.option("--label-columns", metavar="NAMES", help="Columns of 0 and 1, a label each.")
    @click.option("--strict", is_flag=True, help="Refuse labels of no class instead of counting them as wrong.")
    @device_option()
    @cache_option
    @all_classes_option
    @json_option
    def evaluate(
        run_dir: str,
        others: tuple[str, ...],
        test_file: str | None,
        strict: bool,
        device: str,
        cache_dir: str | None,
        all_classes: bool,
        as_json: bool,
        **changes: str | None,
    ) -> None:
        """Measure the best checkpoint of RUN_DIR, or the ensemble of several runs, on labelled texts.

        Texts with a label of no class count as wrong.
        """
        from engine.training.ensemble import evaluate_ensemble

        if not test_file:
            require_file("--test-file", changes)
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
            strict,
        )
        classes = [row._asdict() for row in result.classes]
        if as_json:
            figures = {name: value for name, value in result._asdict().items() if value is not None}
            echo(to_json({**figures, "classes": classes}))
            return
        echo(f"\n{class_table(classes, all_classes)}\n")
        accuracy, macro_f1 = f"accuracy {100 * result.accuracy:.2f} %", f"macro F1 {100 * result.macro_f1:.2f} %"
        if result.micro_f1 is not None:
            accuracy, macro_f1 = f"micro F1 {100 * result.micro_f1:.2f} %", f"{macro_f1}, subset {accuracy}"
        error = result.calibration_error
        calibration = "" if error is None else f", expected calibration error {100 * error:.2f} %"
        echo(f"{accuracy}, {macro_f1}, loss {result.loss:.4f}{calibration}")

    return evaluate


def class_table(rows: list[dict[str, Any]], all_classes: bool = False) -> str:
    """Texts, precision, recall and F1 of classes as text.

    Of more than twice SHOWN_CLASSES, unless all are asked for, the largest and those of the lowest F1 that have texts.
    """
    if all_classes or len(rows) <= 2 * SHOWN_CLASSES:
        return table_of(rows)
    largest = sorted(rows, key=lambda row: -row["texts"])[:SHOWN_CLASSES]
    worst = sorted((row for row in rows if row["texts"]), key=lambda row: (row["f1"], -row["texts"]))[:SHOWN_CLASSES]
    parts = [f"the {len(largest)} largest of {len(rows):,} classes", table_of(largest)]
    parts += [f"the {len(worst)} of the lowest F1, worst first (--all-classes shows every class)", table_of(worst)]
    return "{}\n\n{}\n\n{}\n\n{}".format(*parts)


def table_of(rows: list[dict[str, Any]]) -> str:
    """A table of a row for each class."""
    cells = [
        (
            sanitize(r["name"], NAME_CHARACTERS),
            r["texts"],
            *(f"{100 * r[k]:.1f} %" for k in ("precision", "recall", "f1")),
        )
        for r in rows
    ]
    return format_table(["class", "texts", "precision", "recall", "F1"], cells)
