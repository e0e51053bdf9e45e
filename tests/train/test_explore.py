"""python train.py explore: a page for random networks and for a trained run, and one line for what keeps it from it."""

import re
import urllib.request

import pytest

from tests.support import servers

pytest.importorskip("starlette", reason="starlette is not installed: pip install -e '.[explore]'")
pytest.importorskip("latex2mathml", reason="latex2mathml is not installed: pip install -e '.[explore]'")


@pytest.fixture
def served(trained, signals_of_a_terminal):
    """(process, address) of the page of the finished run."""
    with servers.serving("explore", "explore", trained) as found:
        yield found


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
    servers.assert_ends_when_asked(process)


HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12"


@pytest.fixture
def at_random(signals_of_a_terminal):
    """(process, port) of the page of random networks."""
    with servers.serving("explore", "explore") as (process, address):
        yield process, servers.port_of(address)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_lets_a_request_be_answered(at_random, name):
    answer = servers.answer_of_a_stopped(*at_random, name, HALF, b"345")
    assert b"</html>" in answer


def test_a_second_ctrl_c_ends_it_at_once(at_random):
    servers.assert_ends_at_a_second_ctrl_c(*at_random, HALF)


def test_what_keeps_it_from_showing_is_one_line(tmp_path, trained, run, monkeypatch):
    servers.assert_begins_with_what_it_needs("explore", tmp_path, trained, run, monkeypatch)
