"""The extras of this project, and which packages of them are missing."""

import re
from collections.abc import Callable
from importlib import metadata

from engine.support.command import CHECKOUT
from engine.support.files import read_toml

PROJECT = "wave-network"
OTHERS = re.compile(r"test|lint|mutation|cuda\d+")  # for its developers, or told of with the GPU


def missing_extras(is_installed: Callable[[str], bool]) -> dict[str, list[str]]:
    """{extra: its packages that are missing}, of every extra for users; an empty list where it is complete.

    is_installed: whether there is a package of a name. Packages that only some Pythons need do not count.
    """
    found: dict[str, list[str]] = {}
    for extra, requirement, marker in requirements():
        if not OTHERS.fullmatch(extra):
            packages = found.setdefault(extra, [])
            name = re.match(r"[\w.-]+", requirement)
            if name and not marker and not is_installed(name[0]):
                packages.append(name[0])
    return found


def requirements() -> list[tuple[str, str, str]]:
    """(extra, requirement, further condition) of each requirement of an extra: of a checkout, or as installed."""
    file = CHECKOUT / "pyproject.toml"
    if file.is_file():
        listed = read_toml(file)["project"]["optional-dependencies"].items()
        lines = [(extra, line) for extra, requirements in listed for line in requirements]
    else:
        lines = []
        for line in metadata.requires(PROJECT) or ():
            condition = re.search(r"""\s*(?:and )?extra == ['"]([\w-]+)['"]""", line)
            if condition:
                lines.append((condition[1], line.replace(condition[0], "")))
    return [(extra, *map(str.strip, line.partition(";")[::2])) for extra, line in lines]  # type: ignore[misc]
