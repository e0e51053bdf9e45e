"""The fixture `gradient_check` in projects that are not ours; that of gradcheck alone: see test_distribution.py."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

PROJECT = """
import numpy as np

def forward(x):
    y = np.tanh(x)
    return y, y

def backward(dy, y):
    return dy * (1 - y * y)

def test_right(gradient_check):
    report = gradient_check(forward, backward, np.array([0.1, -2.0, 3.0]))
    assert report.ok

def test_wrong(gradient_check):
    gradient_check(forward, lambda dy, y: dy * (1 - y), np.array([0.1, -2.0, 3.0]))

def test_options(gradient_check):
    report = gradient_check(forward, backward, np.ones(2), method="richardson", directions=1)
    assert report.rows[0].method == "richardson"

def test_imports():
    import sys
    ours = {name for name in sys.modules if name.split(".")[0] in ("engine", "layers", "train")}
    assert "engine.gradcheck.check" in ours
    assert all((name + ".").startswith("engine.gradcheck.") for name in ours - {"engine"}), ours
"""


def run_pytest(folder, *options):
    """(exit code, output) of pytest in a project of its own, with this plugin, whatever is installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "wave_network_pytest", *options]
    outcome = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return outcome.returncode, outcome.stdout + outcome.stderr


def test_another_project_checks_its_own_backward(tmp_path):
    (tmp_path / "test_mine.py").write_text(PROJECT)
    code, output = run_pytest(tmp_path)
    assert code == 1 and "3 passed" in output and "1 failed" in output
    assert "gradient check FAILED" in output and "worst entry [" in output and "numeric" in output
    assert (
        "test_mine.py::test_wrong" in output and "engine/gradcheck" not in output
    )  # the report, not frames of the checker


def test_a_project_with_its_own_engine_starts_and_is_told(tmp_path):
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text("POWER = 9000\n")
    (tmp_path / "test_theirs.py").write_text(
        "import engine\n\ndef test_own():\n    assert engine.POWER == 9000\n\n"
        "def test_asks(gradient_check):\n    pass\n"
    )
    (tmp_path / "engine" / "arguments.py").write_text("raise RuntimeError('theirs')\n")
    code, output = run_pytest(tmp_path)
    assert code == 1 and "1 passed" in output and "1 error" in output
    (line,) = [line for line in output.splitlines() if line.startswith("gradient_check: ")]
    assert str(tmp_path / "engine") in line and "rename it" in line and "Traceback" not in output


def test_the_plugin_imports_nothing_before_its_fixture_is_used(tmp_path):
    (tmp_path / "test_none.py").write_text(
        "import sys\n\ndef test_none():\n    assert not {'engine', 'layers', 'train'} & set(sys.modules)\n"
    )
    code, output = run_pytest(tmp_path)
    assert code == 0, output


def test_the_installed_project_offers_the_plugin():
    try:
        points = importlib.metadata.distribution("wave-network").entry_points
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("wave-network is not installed: pip install -e .")
    assert [(e.group, e.value) for e in points if e.group == "pytest11"] == [("pytest11", "wave_network_pytest")]


def test_the_fixture_works_here_as_well(request):
    """Where the plugin is installed, our own suite has it."""
    if not request.config.pluginmanager.hasplugin("gradcheck"):
        pytest.skip("wave-network is not installed: pip install -e .")
    gradient_check = request.getfixturevalue("gradient_check")
    assert gradient_check(lambda x: (x * x, x), lambda dy, x: 2 * dy * x, __import__("numpy").ones(3)).ok
