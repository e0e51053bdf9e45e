"""The distribution gradcheck: files, requirements, and its pytest plugin beside a project's own `engine`."""

import os
import subprocess
import tarfile
import venv
import zipfile

import pytest

from engine.gradcheck import __version__
from engine.support.files import read_toml
from tests.support.archives import build, copy_tracked, link_distributions, unpack
from tests.support.paths import ROOT

FOLDER = ROOT / "engine" / "gradcheck"
NOT_INSTALLED = {"pyproject.toml", "README.md", "LICENSE"}

PROJECT = {
    "engine/__init__.py": "POWER = 9000\n",
    "engine/arrays.py": "raise RuntimeError('not asked for')\n",
    "layers/__init__.py": "",
    "train.py": "",
    "test_theirs.py": """
import sys

def test_plugin_loads_nothing():
    assert "gradcheck" not in sys.modules and "numpy" not in sys.modules

def test_own_package():
    import engine
    assert engine.POWER == 9000

def forward(x):
    import numpy as np
    y = np.tanh(x)
    return y, y

def test_right(gradient_check):
    import numpy as np
    report = gradient_check(forward, lambda dy, y: dy * (1 - y * y), np.array([0.1, -2.0, 3.0]), directions=2)
    assert report.ok and report.rows[0].name == "input 0, direction 1"
    assert type(report).__module__ == "gradcheck.report"

def test_wrong(gradient_check):
    import numpy as np
    gradient_check(forward, lambda dy, y: dy * (1 - y), np.array([0.1, -2.0, 3.0]))

def test_one_fixture(request):
    plugins = request.config.pluginmanager.list_name_plugin()
    assert len([plugin for _, plugin in plugins if hasattr(plugin, "gradient_check")]) == 1
""",
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """(names of the tracked files, source distribution, wheel built from it)."""
    folder = tmp_path_factory.mktemp("gradcheck")
    names = copy_tracked(FOLDER, folder / "tree")
    (source,) = build(folder / "tree", "sdist")
    return names, source, *build(unpack(source, folder / "unpacked"), "wheel")


@pytest.fixture(scope="module")
def environment(archives, tmp_path_factory):
    """The Python of a virtual environment in which pip has installed the wheel, with nothing but NumPy at hand."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = next(path for path in (folder / "bin/python", folder / "Scripts/python.exe") if path.exists())
    at_hand = link_distributions(folder / "installer", "pip", "numpy")
    run(python, "-m", "pip", "install", "--quiet", "--no-index", archives[2], path=[at_hand], cwd=folder)
    return python


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """A folder for PYTHONPATH with NumPy and pytest."""
    return link_distributions(tmp_path_factory.mktemp("links") / "libraries", "numpy", "pytest")


@pytest.fixture(scope="module")
def main_distribution(tmp_path_factory):
    """A folder for PYTHONPATH with wave-network, as far as Python and pytest can tell."""
    folder = tmp_path_factory.mktemp("links") / "main"
    metadata = folder / "wave_network-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.4\nName: wave-network\nVersion: 0\n")
    points = read_toml(ROOT / "pyproject.toml")["project"]["entry-points"]["pytest11"]
    (metadata / "entry_points.txt").write_text(
        "[pytest11]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    )
    for name in ("engine", "layers", "train.py", "wave_network.py", "wave_network_pytest.py"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(python, *words, path, cwd, expected=0):
    """Run this Python with the folders of `path` as PYTHONPATH; return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "PIP_"))}
    kept["PYTHONPATH"] = os.pathsep.join(map(str, path))
    done = subprocess.run([python, *words], cwd=cwd, env=kept, capture_output=True, text=True, timeout=120)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout


def write_project(folder):
    """Write the files of PROJECT; return the folder."""
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_source_distribution_is_the_folder(archives):
    names, source, _ = archives
    with tarfile.open(source) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    made = {name for name in held if name in ("PKG-INFO", "setup.cfg") or ".egg-info/" in name}
    assert held - made == names


def test_the_wheel_holds_the_package_and_the_plugin(archives):
    """A subpackage that pyproject.toml does not name would be missing."""
    names, _, wheel = archives
    expected = {f"gradcheck/{name}" for name in names - NOT_INSTALLED if not name.startswith("plugin/")}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected | {"gradcheck_pytest.py"}
    assert {"gradcheck/__init__.py", "gradcheck/py.typed"} <= held


def test_numpy_is_the_only_requirement(archives):
    with zipfile.ZipFile(archives[2]) as archive:
        texts = {name.partition(".dist-info/")[2]: archive.read(name) for name in archive.namelist()}
    lines = texts["METADATA"].decode().partition("\n\n")[0].splitlines()
    assert [line for line in lines if line.startswith(("Requires-Dist", "Provides-Extra"))] == [
        "Requires-Dist: numpy>=2.0"
    ]
    assert {"Name: gradcheck", f"Version: {__version__}", "License-Expression: MIT"} <= set(lines)
    assert texts["licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


@pytest.mark.slow
def test_a_suite_with_its_own_engine_has_the_fixture(environment, libraries, tmp_path):
    output = run(environment, "-m", "pytest", "-q", path=[libraries], cwd=write_project(tmp_path), expected=1)
    assert "4 passed" in output and "1 failed" in output and "FAILED test_theirs.py::test_wrong" in output, output
    assert "gradient check FAILED" in output and "worst entry [" in output and "site-packages" not in output, output


@pytest.mark.slow
@pytest.mark.parametrize("main_first", [True, False])
def test_both_distributions_register_one_fixture(environment, libraries, main_distribution, main_first, tmp_path):
    """Whichever pytest finds first, and though an engine of the project's own hides the main distribution's."""
    project = write_project(tmp_path)
    site = run(
        environment, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", path=[], cwd=tmp_path
    ).strip()
    order = [main_distribution, site] if main_first else [site, main_distribution]
    output = run(environment, "-m", "pytest", "-q", path=[libraries, *order], cwd=project, expected=1)
    assert "4 passed" in output and "1 failed" in output and "FAILED test_theirs.py::test_wrong" in output, output


@pytest.mark.slow
def test_a_project_with_its_own_gradcheck_starts(environment, libraries, tmp_path):
    """And is told in one line why it has no fixture."""
    (tmp_path / "gradcheck.py").write_text("raise RuntimeError('not asked for')\n")
    (tmp_path / "test_theirs.py").write_text("def test_own():\n    pass\n\ndef test_asks(gradient_check):\n    pass\n")
    output = run(environment, "-m", "pytest", "-q", path=[libraries], cwd=tmp_path, expected=1)
    assert "1 passed" in output and "1 error" in output and "Traceback" not in output, output
    (line,) = [line for line in output.splitlines() if line.startswith("gradient_check: ")]
    assert str(tmp_path / "gradcheck.py") in line and "rename it" in line
