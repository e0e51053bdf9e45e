"""python train.py explore: a page for random networks and for a trained run, and one line for what keeps it from it."""

import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from engine.web.server import listen
from tests.support.paths import ROOT
from tests.train.test_bad_input import refused

pytest.importorskip("starlette", reason="starlette is not installed: pip install -e '.[explore]'")
pytest.importorskip("latex2mathml", reason="latex2mathml is not installed: pip install -e '.[explore]'")


@pytest.fixture
def served(trained, signals_of_a_terminal):
    """(process, address) of the page of the finished run."""
    command = [sys.executable, ROOT / "train.py", "explore", trained, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("explore: http://127.0.0.1:"), process.stderr.read()
    yield process, line.split()[1]
    process.kill()
    process.communicate()


def test_it_shows_a_trained_run_and_stops_when_asked(served, trained, run):
    """The loss is that of `trace`."""
    process, address = served
    text = urllib.request.urlopen(f"{address}?text=the+ball+and+the+goal+of+the+match").read().decode()
    _, out, _ = run("trace", trained, "the ball and the goal of the match")
    loss, label = re.search(r"loss ([\d.e-]+) nat of label (\w+)", out).groups()
    shown = re.search(r'id="loss">([^<]*)<', text)[1]
    assert float(shown) == pytest.approx(float(loss), rel=1e-3) and f"of class {label} " in text
    assert "gradients match their numerical values" in text and "Shown are of " in text
    assert 'name="width"' not in text and 'name="operation"' not in text
    moved = (
        urllib.request.urlopen(f"{address}?text=the+ball+and+the+goal+of+the+match&x.1.0=0.5&steps=3").read().decode()
    )
    assert re.search(r'id="loss">([^<]*)<', moved)[1] != shown
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_what_keeps_it_from_showing_is_one_line(tmp_path, trained, run, monkeypatch):
    refused(run("explore", tmp_path / "none"), tmp_path / "none")
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        refused(run("explore", "--port", port), f"--port {port}", "127.0.0.1", "choose another port")
    (weights,) = (trained / "checkpoints" / "best").glob("weights-*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-9])
    refused(run("explore", trained, "--port", "0"), weights.name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    refused(run("explore"), "explore: uvicorn", "pip install -e '.[explore]'")
