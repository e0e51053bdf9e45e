"""An operation and a readout that are registered at run time work in every command, from their records alone."""

import json

import numpy as np
import pytest

from layers.wave import OPERATIONS, READOUTS, Operation, Readout, Wave
from layers.wave.wave import times


def squares_forward(a, b):
    """Z = A² + B²."""
    first, second = times(a, a), times(b, b)
    return Wave(first.re + second.re, first.im + second.im), (a, b)


def squares_backward(dz, cache):
    """dA = dZ·conj(2A), dB = dZ·conj(2B)."""
    return tuple(times(dz, Wave(2 * z.re, -2 * z.im)) for z in cache)


SQUARES = Operation(
    "squares",
    squares_forward,
    squares_backward,
    "",
    r"Z = A^2 + B^2",
    r"dA = 2\,dZ\,\bar{A}, \quad dB = 2\,dZ\,\bar{B}",
    shares_magnitude=False,
    circle=(lambda G_a, G_b: G_a**2 + G_b**2, "G² + G′²"),
    flops=(12, 14),
)
SUM = Readout(
    "sum",
    lambda z: z.re + z.im,
    lambda dy, z, y: Wave(dy, dy),
    r"y = \mathrm{re} + \mathrm{im}",
    r"d\mathrm{re} = d\mathrm{im} = dy",
    flops=(1, 0),
)
CHOSEN = ["--operation", "squares", "--readout", "sum"]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(OPERATIONS, "squares", SQUARES)
    monkeypatch.setitem(READOUTS, "sum", SUM)


@pytest.mark.parametrize("implementation", ["fast", "equations", "check"])
def test_it_trains_predicts_and_is_evaluated(arguments, run, tmp_path, implementation):
    """The three implementations end with the same network, since none knows a faster way for it."""
    path = tmp_path / "run"
    code, _, err = run(*arguments, *CHOSEN, "--output", path, "--set", f"implementation={implementation}")
    assert code == 0, err
    result = json.loads((path / "result.json").read_text())
    assert result["implementation"] == implementation and result["test_accuracy"] > 0.5
    code, out, _ = run("evaluate", path, "--json")
    assert code == 0 and json.loads(out)["accuracy"] == pytest.approx(result["test_accuracy"])
    code, out, _ = run("predict", path, "ball goal team")
    assert code == 0 and out.split("\t")[0] in ("sport", "money", "food")
    code, out, _ = run("trace", path, "ball goal team")
    assert code == 0 and "gradients match" in out


def test_it_is_traced_with_its_own_equation(run, tmp_path):
    code, out, _ = run("trace", *CHOSEN, "--json", "the wave runs")
    found = json.loads(out)
    assert code == 0 and found["ok"] and found["network"]["operation"] == "squares"
    assert found["phasors"]["blocks"][0][-1]["circle"] == "G² + G′²"


def test_it_is_described_and_its_fields_are_listed(run):
    code, out, _ = run("describe", *CHOSEN)
    assert code == 0 and out.startswith("Wave Network: squares, sum readout")
    code, out, _ = run("describe", "--fields")
    assert "squares" in out and "sum" in out
    code, out, _ = run("train", "--help")
    assert "squares" in out


def test_a_name_that_is_not_registered_is_refused(run, monkeypatch):
    monkeypatch.delitem(OPERATIONS, "squares")
    code, _, err = run("trace", "--operation", "squares", "text")
    assert code == 2 and "squares" in err


def test_it_is_checked_and_counted(run):
    from engine.gradcheck import check_gradients
    from layers.networks import WaveNetworkConfig, build_network
    from layers.networks.costs import mixing_flops
    from layers.networks.text_classifier import example_batch

    report = check_gradients(lambda a, b: squares_forward(a, b), squares_backward, waves())
    assert report.ok, report
    config = WaveNetworkConfig(dimension=8, operation="squares", readout="sum", hidden=0)
    batch = example_batch(20, 3, [3, 4, 1])
    assert mixing_flops(build_network(config, 20, 3), batch).forward >= (12 + 1) * len(batch.ids) * 8


def waves():
    rng = np.random.default_rng(0)
    return tuple(Wave(rng.standard_normal((4, 3)), rng.standard_normal((4, 3))) for _ in range(2))
