"""Whole trainings with functions in C and without: the same but for rounding, and the result says which."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from engine.training import adamw_c


@pytest.mark.parametrize("options", [(), ("--set", "heads=2"), ("--set", "shortcut=naive-bayes")])
def test_the_same_but_for_rounding(tmp_path, arguments, run, monkeypatch, options):
    weights = {}
    for mode in ("on", "off"):
        monkeypatch.setenv("WAVE_C", mode)
        folder = tmp_path / mode
        assert run(*arguments, *options, "--output", folder)[0] == 0
        used = json.loads((folder / "result.json").read_text())["functions_in_c"]
        assert used == (mode == "on" and adamw_c.FUNCTIONS.is_usable())
        (file,) = (folder / "checkpoints" / "best").glob("weights*")
        weights[mode] = load_file(file)
    for name, one in weights["on"].items():
        other = weights["off"][name]
        assert np.abs(one - other).max(initial=0) <= 1e-4 * max(1e-3, np.abs(other).max(initial=0)), name


def test_check_compares_them_with_the_equations(tmp_path, arguments, run):
    assert run(*arguments, "--set", "implementation=check", "--output", tmp_path / "run")[0] == 0
    differences = json.loads((tmp_path / "run" / "result.json").read_text())["differences"]
    assert 0 < differences["bag_magnitude forward, float32"] < 1
