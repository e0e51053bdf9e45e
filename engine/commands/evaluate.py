"""The command evaluate."""

from typing import Any

import click

from engine.arrays.backend import resolve_device
from engine.commands.options import (
    Project,
    cache_option,
    device_option,
    file_options,
    json_option,
    make_log,
    require_file,
    to_json,
    with_option,
)
from engine.support.text import format_table


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
    @click.option("--strict", is_flag=True, help="Refuse labels of no class instead of counting them as wrong.")
    @device_option()
    @cache_option
    @json_option
    def evaluate(
        run_dir: str,
        others: tuple[str, ...],
        test_file: str | None,
        strict: bool,
        device: str,
        cache_dir: str | None,
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
            click.echo(to_json({**result._asdict(), "classes": classes}))
            return
        click.echo(f"\n{class_table(classes)}\n")
        click.echo(
            f"accuracy {100 * result.accuracy:.2f} %, macro F1 {100 * result.macro_f1:.2f} %, loss {result.loss:.4f}"
        )

    return evaluate


def class_table(rows: list[dict[str, Any]]) -> str:
    """Texts, precision, recall and F1 of each class as text."""
    cells = [(r["name"], r["texts"], *(f"{100 * r[k]:.1f} %" for k in ("precision", "recall", "f1"))) for r in rows]
    return format_table(["class", "texts", "precision", "recall", "F1"], cells)
