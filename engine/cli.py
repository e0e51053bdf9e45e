"""What becomes of a command: its exit code, and one line for whatever went wrong."""

import os
import signal
import sys

import click

from engine import implementation
from engine.support.errors import UserError, first_line
from engine.training.interrupt import Interrupted


def exit_code_of(group, default, arguments):
    """Run a command of a click group and return its exit code: 2 for what the user can mend, 130 and 143 for signals.

    default: the command that runs where the arguments name none.
    """
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as during the imports
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if "doctor" not in arguments:  # which tells of a wrong value beside everything else
            implementation.current()
        code = group.main(arguments, prog_name="train.py", standalone_mode=False)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MemoryError as error:
        click.echo(
            f"error: too little memory ({first_line(error)}); lower the dimension, the size of the vocabulary or the texts at a time",
            err=True,
        )
        return 2
    except OSError as error:  # of what nobody expected; click itself ends silently where the reader of a pipe has gone
        where = "standard input or output" if error.filename is None else repr(str(error.filename))
        click.echo(
            f"error: {where}: {error.strerror or first_line(error)}; see to the name, the permissions and the free space",
            err=True,
        )
        give_up_output()
        return 2
    except Interrupted as stop:
        click.echo(f"stopped by {stop}: saved; continue with --resume {stop.run_path}", err=True)
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        saved = (
            "; what was saved before can be continued with --resume"
            if can_be_resumed(group, default, arguments)
            else ""
        )
        click.echo(f"stopped by SIGINT at once{saved}", err=True)
        return 130
    return code if isinstance(code, int) else 0


def can_be_resumed(group, default, arguments):
    """Whether the command of these arguments has an option --resume."""
    command = group.commands.get(next(iter(arguments), None), default)
    return any("--resume" in option.opts for option in command.params)


def give_up_output():
    """Where standard output takes no more, drop what is left of it, which would fail once more at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
