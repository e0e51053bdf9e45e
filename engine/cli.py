"""Run a click command; map exceptions and signals to exit codes and one-line messages."""

import contextlib
import functools
import importlib
import io
import signal
import sys
from collections.abc import Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from engine import __version__
from engine.support.command import command_name
from engine.support.errors import UserError, first_line
from engine.support.implementation import current
from engine.support.output import echo, give_up_output, open_closed_streams
from engine.support.text import sanitize
from engine.training.interrupt import Interrupted
from engine.training.launchers import end_all_by, speaks

DEFAULT = "train"  # the command that runs where the arguments name none
COLUMN_WIDTH = 100  # of help texts
LONGEST_ERROR = 1500  # characters


class LazyCommand(click.Command):
    """The name and the short help of a command whose module is imported when the command runs.

    place: "module:attribute", the command, or a function of `given` that makes it. short_help: None hides the command.
    """

    def __init__(self, name: str, place: str, short_help: str | None, *given: Any) -> None:
        super().__init__(name, short_help=short_help, hidden=short_help is None)
        self.place, self.given = place, given

    @functools.cached_property
    def loaded(self) -> click.Command:
        """The command itself."""
        module, _, attribute = self.place.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        command: click.Command = found if isinstance(found, click.Command) else found(*self.given)
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self.loaded.make_context(info_name, args, parent, **extra)


class DefaultGroup(click.Group):
    """A group that runs DEFAULT where the first argument is no command: options of training belong to it alone."""

    def __init__(self, commands: Iterable[LazyCommand], **more: Any) -> None:
        super().__init__("cli", **more)
        self.lazy = {str(command.name): command for command in commands}
        self.commands.update(self.lazy)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = args and (args[0] in self.commands or args[0] in ("--help", "--version"))
        if args and not known and not args[0].startswith("-") and not ctx.resilient_parsing:
            from engine.support.settings import nearest

            names = [name for name, command in self.lazy.items() if not command.hidden]
            raise UserError(f"no command {args[0]!r}{nearest(args[0], names)}; list them with: {command_name()} --help")
        completes_first = ctx.resilient_parsing and not args
        return super().parse_args(ctx, args if known or completes_first else [DEFAULT, *args])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and the options of DEFAULT too: both can stand first."""
        items = [*super().shell_complete(ctx, incomplete), *self.loaded(DEFAULT).shell_complete(ctx, incomplete)]
        return list({item.value: item for item in items}.values())  # both know --help

    def loaded(self, name: str) -> click.Command:
        """A command itself, for its options."""
        return self.lazy[name].loaded


def command_group(help: str, commands: Iterable[LazyCommand]) -> DefaultGroup:
    """The DefaultGroup of all commands, with --version and --help."""
    context = {"max_content_width": COLUMN_WIDTH, "help_option_names": ["--help"]}
    group = DefaultGroup(commands, help=help, context_settings=context)
    return click.version_option(__version__, prog_name="wave-network")(group)


def exit_code_of(group: DefaultGroup, arguments: list[str]) -> int:
    """Run a command of a group and return its exit code: 2 for what the user can mend, 129 and more for signals."""
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # where it has no sign for a character, its number
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as during the imports
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if "doctor" not in arguments:  # which shows a wrong value beside everything else
            current()
        code = group.main(arguments, prog_name=command_name(), standalone_mode=False)
    except UserError as error:
        tell_error(str(error))
        return 2
    except click.ClickException as error:
        if speaks():
            said = io.StringIO()
            error.show(said)
            echo(said.getvalue(), err=True, nl=False)
        return error.exit_code
    except MemoryError as error:
        remedy = "lower the dimension, the size of the vocabulary or the texts at a time"
        tell_error(f"too little memory ({first_line(error)}); {remedy}")
        return 2
    except OSError as error:  # unexpected; click itself ends silently where the reader of a pipe has gone
        where = "standard input or output" if error.filename is None else repr(str(error.filename))
        reason, remedy = error.strerror or first_line(error), "see to the name, the permissions and the free space"
        tell_error(f"{where}: {reason}; {remedy}")
        give_up_output()
        return 2
    except Interrupted as stop:
        with contextlib.suppress(OSError):  # of a terminal that has been closed
            echo(f"stopped by {stop}: saved; continue with --resume {stop.run_path}", err=True)
        give_up_output()
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        saved = "; what was saved before can be continued with --resume" if can_be_resumed(group, arguments) else ""
        echo(f"stopped by SIGINT at once{saved}", err=True)
        end_all_by(signal.SIGINT)
        return 130
    return code if isinstance(code, int) else 0


def tell_error(text: str) -> None:
    """Print an error on one line, however long the names in it are."""
    echo(f"error: {sanitize(text, LONGEST_ERROR)}", err=True)


def can_be_resumed(group: DefaultGroup, arguments: list[str]) -> bool:
    """Whether the command of these arguments has an option --resume."""
    name = arguments[0] if arguments and arguments[0] in group.lazy else DEFAULT
    return any("--resume" in option.opts for option in group.loaded(name).params)
