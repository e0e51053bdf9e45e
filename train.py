"""The command line: engine's commands and layers' experiments in one group.

python train.py                    trains a Wave Network on Reuters R8
python train.py COMMAND --help     explains a command; python train.py --help lists them all
"""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until main() begins: Ctrl-C during the imports, without a traceback

import sys
from pathlib import Path

from engine.cli import command_group, exit_code_of
from engine.commands import commands
from engine.commands.options import Project
from engine.training.run_settings import Choices
from layers.experiments.commands import EXPERIMENTS
from layers.networks import CONFIGS, build_network
from layers.networks.configs import DEFAULTS, PRESETS

HELP = """Wave Networks (Token2Wave) with every gradient derived and written by hand.

Without a command, `train` runs: python train.py --corpus r52 --operation interference
"""
HERE = Path(__file__).resolve()
PACKAGES = [HERE.with_name("engine"), HERE.with_name("layers")]
PROJECT = Project(Choices(CONFIGS, PRESETS, DEFAULTS), build_network, HERE, PACKAGES)
cli = command_group(HELP, [*commands(PROJECT), *EXPERIMENTS])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return exit_code_of(cli, sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
