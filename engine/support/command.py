"""The names under which messages call this program and its extras, as the user can type them."""

import os
import shlex
import sys
from pathlib import Path

VARIABLE = "_WAVE_COMMAND"  # of the environment: the command that started this process, where a command did
CHECKOUT = Path(__file__).resolve().parents[2]


def command_name() -> str:
    """The command that the user typed: python train.py, python -m wave_network or wave-network.

    Processes that it starts call it by the same name; other programs that import this project, wave-network.
    """
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    program = Path(sys.argv[0])
    if program.name == "train.py" and program.resolve() == CHECKOUT / "train.py":
        return shlex.join(["python", sys.argv[0]])
    return "python -m wave_network" if program.name == "wave_network.py" else "wave-network"


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a process that a command starts: this one's, the command's name, and `more`."""
    return {**os.environ, VARIABLE: command_name(), **more}


def install_extra(name: str) -> str:
    """The command that installs an extra: of a checkout in its folder, else of the installed project."""
    is_checkout = (CHECKOUT / "pyproject.toml").is_file()
    return f"pip install -e '.[{name}]'" if is_checkout else f"pip install 'wave-network[{name}]'"
