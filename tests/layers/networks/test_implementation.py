"""implementation=equations runs the files of wave/ and standard/, each as often as the network has it."""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import layers
from engine.support.implementation import using
from engine.training.adamw import AdamW
from engine.training.step import update
from layers.fast import wave_pair_c
from layers.networks import (
    PlannedWaveNetwork,
    Transformer,
    TransformerConfig,
    WaveNetwork,
    WaveNetworkConfig,
    build_network,
)
from layers.networks.checked_wave_network import CheckedWaveNetwork
from layers.networks.text_classifier import example_batch

ROOT = Path(layers.__path__[0])
pytestmark = pytest.mark.skipif("MUTANT_UNDER_TEST" in os.environ, reason="functions that are mutated have other names")


def run_step(config, implementation):
    """(network, {(file in layers/, function): calls}) of one step of training."""
    calls = Counter()

    def watch(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(ROOT)):
            calls[Path(code.co_filename).relative_to(ROOT).as_posix(), code.co_name] += 1

    with using(implementation):
        network = build_network(config, 9, 3)
        batch, optimizer = example_batch(9, 3, [1, 4, 0, 6]), AdamW(network.parameters())
        previous = sys.getprofile()
        sys.setprofile(watch)
        try:
            update(network, optimizer, batch, np.random.default_rng(0), 0.01, 1.0)
        finally:
            sys.setprofile(previous)
    return network, calls


def equations_of(calls):
    """Counter of the forward and backward functions in wave/ and standard/."""
    return Counter(
        {
            name: number
            for (file, name), number in calls.items()
            if file.startswith(("wave/", "standard/")) and name.endswith(("_forward", "_backward"))
        }
    )


def in_both_directions(**pairs):
    return Counter({f"{name}_{way}": number for name, number in pairs.items() for way in ("forward", "backward")})


@pytest.mark.parametrize("operation", ["interference", "modulation", "correlation"])
@pytest.mark.parametrize("blocks", [1, 2])
def test_equations_run_once_for_each_line_of_the_network(operation, blocks):
    config = WaveNetworkConfig(dimension=4, hidden=5, blocks=blocks, operation=operation, readout="both", dropout=0.1)
    network, calls = run_step(config, "equations")
    assert type(network) is WaveNetwork
    expected = in_both_directions(
        embedding=1, wave=2 * blocks, token2wave=2 * blocks, operation=blocks, readout=blocks, dropout=2 * blocks + 2,
        residual=2 * blocks, layer_norm=2 * blocks, gelu=blocks, linear=5 * blocks + 1, pooling=1,
        softmax_cross_entropy=1,
    )  # fmt: skip
    expected += in_both_directions(**{operation: blocks})
    expected["both_backward"] = blocks  # of the readout
    assert equations_of(calls) == expected


def test_equations_use_no_other_file_of_layers():
    """Beside the network itself there is one composition, the feed-forward part, which is equations in a row."""
    _, calls = run_step(WaveNetworkConfig(dimension=4, hidden=5, token_dropout=0.2), "equations")
    files = {file for file, _ in calls}
    assert {file for file in files if not file.startswith(("wave/", "standard/"))} == {
        "equations.py",
        "networks/configs.py",
        "networks/parts.py",
        "networks/text_classifier.py",
        "networks/wave_network.py",
    }
    assert [name for (file, name), number in calls.items() if file == "equations.py"] == ["forward", "backward"]
    assert {
        "standard/token_dropout.py", "standard/embedding.py", "standard/dropout.py", "standard/linear.py",
        "wave/token2wave.py", "wave/operations.py", "wave/modulation.py", "wave/readout.py", "standard/residual.py",
        "standard/layer_norm.py", "standard/gelu.py", "standard/pooling.py", "standard/softmax_cross_entropy.py",
    } <= files  # fmt: skip


@pytest.fixture(params=["c", "cpu"])
def wave_pair_file(request, monkeypatch):
    """The implementation of the wave pair: in C, where there is a compiler, else by NumPy."""
    monkeypatch.setenv("WAVE_C", "on" if request.param == "c" else "off")
    if request.param == "c" and not wave_pair_c.FUNCTIONS.is_usable():
        pytest.skip("no C compiler")
    return f"fast/wave_pair_{request.param}.py"


def test_fast_runs_no_equation_where_something_faster_does(wave_pair_file):
    config = WaveNetworkConfig(dimension=4, hidden=5, operation="interference", readout="real", wave_residual=False)
    network, calls = run_step(config, "fast")
    assert type(network) is PlannedWaveNetwork
    assert (wave_pair_file, "forward") in calls and ("fast/bag_pooling_cpu.py", "forward") in calls
    assert (wave_pair_file, "backward") in calls and ("fast/bag_pooling_cpu.py", "backward") in calls
    assert equations_of(calls)["embedding_forward"] == equations_of(calls)["pooling_forward"] == 0


def test_check_runs_both_networks_and_every_equation(wave_pair_file):
    config = WaveNetworkConfig(dimension=4, hidden=5, operation="modulation", readout="real")
    network, calls = run_step(config, "check")
    assert type(network) is CheckedWaveNetwork
    assert calls[wave_pair_file, "forward"] > 0 < calls[wave_pair_file, "backward"]
    assert equations_of(calls)["token2wave_forward"] >= 4  # of the call that is checked, and of the readable network
    readable = "networks/wave_network.py"  # of the network and of its block
    assert calls[readable, "forward"] == calls[readable, "backward"] == 2


def test_a_transformer_runs_its_equations():
    network, calls = run_step(TransformerConfig(dimension=4, heads=2, hidden=5, blocks=1), "equations")
    assert type(network) is Transformer
    assert equations_of(calls) == in_both_directions(
        embedding=2, layer_norm=3, residual=3, dropout=4, attention=1, linear=8, gelu=1, pooling=1, tanh=1,
        softmax_cross_entropy=1,
    )  # fmt: skip
