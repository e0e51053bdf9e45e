"""The command line: engine's commands and layers' experiments in one group.

python train.py                    trains a Wave Network on Reuters R8
python train.py COMMAND --help     explains a command; python train.py --help lists them all

The installed command `wave-network` is the same (wave_network.py).
"""

if __name__ == "__main__":
    import wave_network

    wave_network.prepare()

import sys
from pathlib import Path

from engine.cli import command_group, exit_code_of
from engine.commands import commands
from engine.commands.options import Project
from engine.support.command import command_name
from layers.experiments.index import EXPERIMENTS

HELP = f"""Wave Networks (Token2Wave) with every gradient derived and written by hand.

Without a command, `train` runs: {command_name()} --corpus r52 --operation interference

\b
Completion in bash, of the installed command (zsh: zsh_source):
    eval "$(_WAVE_NETWORK_COMPLETE=bash_source wave-network)"
"""
HERE = Path(__file__).resolve()
PROJECT = Project("layers.networks", HERE, [HERE.with_name("engine"), HERE.with_name("layers")])
cli = command_group(HELP, [*commands(PROJECT), *EXPERIMENTS])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return exit_code_of(cli, sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
