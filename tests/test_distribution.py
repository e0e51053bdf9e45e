"""The distribution: metadata, whether the archives hold every file, and the command from a wheel."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from engine import __version__
from tests.support.archives import build, copy_tracked
from tests.support.paths import ROOT

OWN = re.compile(r"PKG-INFO|setup\.cfg|wave_network\.egg-info/.*|wave_network-[^/]*\.dist-info/.*")  # made by a build


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """(names of the tracked files, path of the source distribution, path of the wheel), built from these files.

    Beside them lies what an earlier build of engine/gradcheck leaves in its folder.
    """
    tree = tmp_path_factory.mktemp("tree")
    names = copy_tracked(ROOT, tree)
    for name in ("build/lib/gradcheck/old.py", "dist/gradcheck.whl", "plugin/gradcheck.egg-info/SOURCES.txt"):
        (tree / "engine/gradcheck" / name).parent.mkdir(parents=True)
        (tree / "engine/gradcheck" / name).write_text("")
    return names, *build(tree, "sdist", "wheel")


def test_the_source_distribution_is_the_tree(archives):
    names, source, _ = archives
    with tarfile.open(source) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert {name for name in held if not OWN.fullmatch(name)} == names


def test_the_wheel_holds_both_packages_whole(archives):
    """Modules, chapters, figures, kernels, templates and py.typed, and the modules beside the packages; no tests."""
    names, _, wheel = archives
    expected = {name for name in names if name.startswith(("engine/", "layers/")) or re.fullmatch(r"\w+\.py", name)}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not OWN.fullmatch(name)}
        (licence,) = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert held == expected
    assert {"engine/py.typed", "layers/py.typed", "layers/README.md", "wave_network.py"} <= held
    assert {Path(name).suffix for name in held} >= {".py", ".md", ".svg", ".html", ".cu", ".cuh"}


def test_the_metadata_name_the_command_and_the_licence(archives):
    with zipfile.ZipFile(archives[2]) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if OWN.fullmatch(name)}
    assert "wave-network = wave_network:main" in texts["entry_points.txt"].splitlines()
    lines = texts["METADATA"].partition("\n\n")[0].splitlines()
    assert {f"Version: {__version__}", "License-Expression: MIT", "License-File: LICENSE"} <= set(lines)


@pytest.mark.thorough
def test_a_wheel_trains_in_an_empty_folder(archives, tmp_path):
    """By a sweep, whose processes find the program too; what it trained labels texts."""
    site, here = tmp_path / "site", tmp_path / "here"
    with zipfile.ZipFile(archives[2]) as archive:
        archive.extractall(site)
    here.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site), "OPENBLAS_NUM_THREADS": "1"}

    def command(*words):
        program = "import sys, wave_network; sys.argv[0] = 'wave-network'; sys.exit(wave_network.main())"
        words = [sys.executable, "-c", program, *words]
        return subprocess.run(words, cwd=here, env=environment, capture_output=True, text=True)

    rows = "".join(f"sport,the ball and goal {i}\nmoney,the rate of bank {i}\n" for i in range(20))
    (here / "texts.csv").write_text(f"label,text\n{rows}")
    text = 'seeds = [0]\n[set]\ntrain_file = "texts.csv"\nepochs = 1\n[grid]\noperation = ["modulation"]\n'
    (here / "sweep.toml").write_text(text)
    done = command("sweep", "sweep.toml", "--output", "mine")
    assert done.returncode == 0 and (here / "mine/runs/modulation-0/result.json").exists(), done.stderr
    done = command("predict", "mine/runs/modulation-0", "ball and goal")
    assert done.returncode == 0 and done.stdout.split()[0] in ("sport", "money"), done.stderr
    done = command("describe", "--set", "nothing=1")
    assert done.returncode == 2 and done.stderr.endswith("with: wave-network describe --fields\n")
    assert {path.name for path in here.iterdir()} == {"texts.csv", "sweep.toml", "mine"}


def test_the_citation_is_that_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in text and "\nlicense: MIT\n" in text
    papers = ["2411.02674", "2411.06989"]
    assert re.findall(r"value: arXiv:([\d.]+)", text) == papers
    assert re.findall(r"url: \S+/([\d.]+)$", text, re.MULTILINE) == papers
