"""The command evaluate."""

from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.commands.options import Project, cache_option, device_option, json_option, make_log, to_json, with_option
from engine.support.errors import UserError
from engine.support.text import format_table


def evaluate_command(project: Project) -> click.Command:
    """The command evaluate for the networks of a Project."""

    @click.command()
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
            figures = {name: value for name, value in result._asdict().items() if value is not None}
            click.echo(to_json({**figures, "classes": classes}))
            return
        click.echo(f"\n{class_table(classes)}\n")
        accuracy, macro_f1 = f"accuracy {100 * result.accuracy:.2f} %", f"macro F1 {100 * result.macro_f1:.2f} %"
        if result.micro_f1 is not None:
            accuracy, macro_f1 = f"micro F1 {100 * result.micro_f1:.2f} %", f"{macro_f1}, subset {accuracy}"
        click.echo(f"{accuracy}, {macro_f1}, loss {result.loss:.4f}")

    return evaluate


def class_table(rows: list[dict[str, Any]]) -> str:
    """Texts, precision, recall and F1 of each class as text."""
    cells = [(r["name"], r["texts"], *(f"{100 * r[k]:.1f} %" for k in ("precision", "recall", "f1"))) for r in rows]
    return format_table(["class", "texts", "precision", "recall", "F1"], cells)
