"""Distributions, built from the tracked files as a build of the checkout would."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

BUILD = """
import sys
from setuptools import build_meta
for kind in sys.argv[1:]:
    getattr(build_meta, f"build_{kind}")("dist")
"""


def tracked_files(folder=ROOT):
    """The files of a folder of the checkout that git knows, as names relative to it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, text=True)
    if listed.returncode or not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    return {name for name in listed.stdout.split("\0") if name and (folder / name).exists()}


def copy_tracked(folder, tree):
    """Copy the tracked files of a folder into `tree`; return their names."""
    names = tracked_files(folder)
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, tree / name)
    return names


def build(tree, *kinds):
    """Build the kinds "sdist" and "wheel" of a tree without network; return their paths. Skips without setuptools."""
    try:
        major = int(importlib.metadata.version("setuptools").partition(".")[0])
    except importlib.metadata.PackageNotFoundError:
        major = 0
    if major < 77:
        pytest.skip("needs setuptools 77: pip install -e '.[test]'")
    done = subprocess.run([sys.executable, "-c", BUILD, *kinds], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Deprecat" not in done.stderr and "absent from the `packages`" not in done.stderr, done.stderr
    return [next((tree / "dist").glob({"sdist": "*.tar.gz", "wheel": "*.whl"}[kind])) for kind in kinds]


def unpack(source, folder):
    """Unpack a source distribution; return its top folder."""
    with tarfile.open(source) as archive:
        archive.extractall(folder)
    (top,) = folder.iterdir()
    return top


def link_distributions(folder, *names):
    """Link installed distributions, and what they require, into a folder for PYTHONPATH; return the folder."""
    folder.mkdir(exist_ok=True)
    for name in names:
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # not needed on this system or with this Python
            continue
        for part in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (folder / part).exists():
                os.symlink(Path(found.locate_file(part)).resolve(), folder / part)
        required = [line for line in found.requires or () if "extra ==" not in line]
        link_distributions(folder, *(re.match(r"[\w.-]+", line)[0] for line in required))
    return folder
