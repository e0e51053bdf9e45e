"""The command exercise: list the exercises, write one, check what was written."""

import contextlib
import io
import shlex
import sys
from pathlib import Path

import click

from engine.commands.options import json_option, to_json
from engine.support.command import command_name
from engine.support.errors import UserError, require_utf8
from engine.support.output import echo
from layers.experiments.exercises.table import EXERCISES


@click.command()
@click.argument("name", required=False, type=click.Choice(list(EXERCISES)), metavar="[NAME]")
@click.option("--output", type=click.Path(), metavar="FILE", help="File to write.  [default: NAME.py]")
@click.option("--check", "checked", type=click.Path(), metavar="FILE", help="Check the backward in a file.")
@click.option("--hint", "hinted", is_flag=True, help="Say where the derivation is, and write no file.")
@json_option
@click.pass_context
def exercise(
    ctx: click.Context,
    /,
    name: str | None,
    output: str | None,
    checked: str | None,
    hinted: bool,
    as_json: bool,
) -> None:
    """List the exercises; with NAME write one: a forward pass in NumPy, and a hole where its backward belongs.

    --check runs the gradient checker on a file and says which term of a gradient is missing or wrong. The file is
    Python code and is run. Exit code 1 if a gradient is wrong, 2 if the file cannot be checked.
    """
    from engine.support.files import require_writable, write_text
    from layers.experiments.exercises import report
    from layers.experiments.exercises.check import check_file

    if output is not None and (name is None or checked is not None or hinted):
        raise click.UsageError("--output: needs the NAME of an exercise, and neither --check nor --hint", ctx)
    if checked is not None:
        require_one_line(checked, f"--check {checked!r}", "rename the file")
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(sys.stderr):  # by the learner's code
                verdict = check_file(checked, name)
        finally:
            said = "" if printed.closed else printed.getvalue()
            echo(said, err=True, nl=bool(said) and not said.endswith("\n"))
        if as_json:
            derivation = report.derivation_as_json(verdict.exercise) if hinted else {}
            echo(to_json({**report.verdict_as_json(verdict), **derivation}, allow_nan=False))
        else:
            echo("\n".join([report.verdict_as_text(verdict), *([report.hint(verdict.exercise)] * hinted)]))
        if not verdict.ok:
            ctx.exit(1)
        return
    if name is None:
        if hinted:
            raise click.UsageError("--hint: needs the NAME of an exercise, or --check FILE", ctx)
        echo(to_json(report.list_as_json()) if as_json else report.list_as_text())
        return
    chosen = EXERCISES[name]
    if hinted:
        derivation = {"exercise": name, **report.derivation_as_json(chosen)}
        echo(to_json(derivation) if as_json else report.hint(chosen))
        return
    path = Path(f"{name}.py" if output is None else output)
    require_one_line(str(path), f"--output {str(path)!r}", "choose another name")
    if path.exists():
        raise UserError(f"{path}: exists already; choose another name with --output")
    require_writable(path, None if output is None else "--output")
    write_text(path, chosen.text())
    written = {"exercise": name, "equation": chosen.number, "file": str(path)}
    then = f"Write its backward, then: {command_name()} exercise --check {shlex.quote(str(path))}"
    echo(to_json(written) if as_json else f"{chosen.name} ({chosen.number}) written to {path}. {then}")


def require_one_line(path: str, where: str, remedy: str) -> None:
    """Raise UserError for the name of a file that is not UTF-8 or has a line break."""
    require_utf8(path, where, remedy)
    if path.splitlines() != [path]:
        raise UserError(f"{where}: has a line break; {remedy}")
