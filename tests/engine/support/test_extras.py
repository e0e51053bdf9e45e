"""Extras and the packages that they lack, of a checkout and of an installation."""

import pytest

from engine.support import extras as extras_module
from engine.support.extras import missing_extras

PYPROJECT = """
[project.optional-dependencies]
test = ["pytest"]
cuda13 = ["cupy-cuda13x[ctk]>=14.0"]
plots = ["matplotlib>=3.8", "jinja2"]
bench = ["torch>=2.2", "fasttext-wheel>=0.9; python_version < '3.13'"]
"""
METADATA = [
    "numpy>=2.0",
    'tomli>=2.0; python_version < "3.11"',
    'pytest; extra == "test"',
    'cupy-cuda13x[ctk]>=14.0; extra == "cuda13"',
    'matplotlib>=3.8; extra == "plots"',
    'jinja2; extra == "plots"',
    'torch>=2.2; extra == "bench"',
    'fasttext-wheel>=0.9; python_version < "3.13" and extra == "bench"',
]


@pytest.mark.parametrize("checkout", [True, False])
@pytest.mark.parametrize(
    "installed, missing",
    [
        ({"torch", "jinja2"}, {"plots": ["matplotlib"], "bench": []}),
        ({"matplotlib"}, {"plots": ["jinja2"], "bench": ["torch"]}),
    ],
)
def test_missing_packages_of_extras(tmp_path, monkeypatch, checkout, installed, missing):
    """Not of those for developers, nor packages that only some Pythons need."""
    monkeypatch.setattr(extras_module, "CHECKOUT", tmp_path)
    monkeypatch.setattr(extras_module.metadata, "requires", lambda name: METADATA)
    if checkout:
        (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    assert missing_extras(installed.__contains__) == missing


def test_the_extras_of_this_project():
    assert {"plots", "hub", "tensorboard"} <= missing_extras(lambda name: True).keys()
    assert all(missing_extras(lambda name: False).values())
