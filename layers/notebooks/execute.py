"""Run notebooks and write their outputs into them: python -m layers.notebooks.execute [NAME…], by default all.

What depends on the machine and the hour is left out. Outputs of PyTorch, JAX and TensorFlow are there only where these
are installed. Needs the extra `notebooks`.
"""

import sys
from pathlib import Path

import click

from engine.support.command import install_extra
from engine.support.errors import UserError
from engine.support.files import write_text
from engine.support.output import echo

FOLDER = Path(__file__).parent
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path) -> str:
    """Run all cells of a notebook in a new kernel; return its text with the outputs.

    Raises nbclient.exceptions.CellExecutionError where a cell raises, and UserError without the extra `notebooks`.
    """
    try:
        import ipykernel  # noqa: F401 (the kernel, which runs in a process of its own)
        import nbclient
        import nbformat
    except ImportError as error:
        raise UserError(f"{path}: cannot be run ({error}); run {install_extra('notebooks')}") from None
    notebook = nbformat.read(path, as_version=4)
    settings = {"timeout": 300, "kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}, **settings).execute()
    notebook.metadata = METADATA
    return f"{nbformat.writes(notebook)}\n"


@click.command(context_settings={"help_option_names": ["--help"]})
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(NOTEBOOKS))
def main(names: tuple[str, ...]) -> None:
    """Run notebooks (extra notebooks), by default all of them, and write their outputs into them."""
    try:
        for name in names or NOTEBOOKS:
            path = FOLDER / f"{name}.ipynb"
            write_text(path, executed(path))
            echo(f"run: {path}")
    except UserError as error:
        echo(f"error: {error}", err=True)
        sys.exit(2)
    except Exception as error:  # of a cell, its time or its kernel; the last line names it
        echo(f"error: {path}: {str(error).strip().splitlines()[-1]}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
