"""python train.py serve: a process that answers until it is asked to stop, and one line for what keeps it from it."""

import http.client
import json
import threading
import time

import pytest

from engine.support.errors import UserError
from layers.experiments.benchmark import serving
from tests.support import servers
from tests.train.test_bad_input import refused

pytest.importorskip("starlette", reason="starlette is not installed: pip install -e '.[explore]'")

PREDICT = ["POST", "/predict"]
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def served(trained, signals_of_a_terminal):
    """(process, port) of a server of the finished run, twice."""
    words = ["serve", trained, trained, "--max-texts", "3"]
    with servers.serving("serving trained, trained", *words) as (process, address):
        yield process, servers.port_of(address)


def asked(port, *request):
    """(status, JSON) of the answer to a request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(*request)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_a_server_answers_as_predict_does_and_stops_when_asked(served, trained, run):
    process, port = served
    _, out, _ = run("predict", trained, "--json", "the ball and the goal", "bread")
    expected = [json.loads(line) for line in out.splitlines()]
    body = json.dumps({"texts": [one.pop("text") for one in expected]})
    assert asked(port, *PREDICT, body, JSON) == (200, {"predictions": expected})
    assert asked(port, *PREDICT, '{"texts": ["a", "b", "c", "d"]}', JSON)[0] == 413
    assert asked(port, "GET", "/health", None, {"Host": "evil.example"})[0] == 403
    assert asked(port, "GET", "/health")[1]["runs"] == ["trained", "trained"]
    servers.assert_ends_when_asked(process)


BODY = b'{"texts": ["the ball"]}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_lets_a_request_be_answered(served, name):
    answer = servers.answer_of_a_stopped(*served, name, HEAD % len(BODY) + BODY[:9], BODY[9:])
    assert len(json.loads(answer)["predictions"]) == 1


def test_a_second_ctrl_c_ends_it_at_once(served):
    servers.assert_ends_at_a_second_ctrl_c(*served, HEAD % len(BODY) + BODY[:9])


def test_what_keeps_it_from_serving_is_one_line(tmp_path, trained, run, monkeypatch):
    servers.assert_begins_with_what_it_needs("serve", tmp_path, trained, run, monkeypatch)


def test_a_server_is_measured_under_load(trained):
    """Bounded: a burst of batches, one of single texts, and texts at a given pace."""
    measured = serving.ServingBenchmark("mine", ["the ball", "a loan of the bank", "", "bread " * 9], 2)
    assert list(measured.measure(trained, burst=0.1, paced=0.2)) == [1, 2]
    for load in measured.found:
        assert min(load) > 0 and load.latency_p50 <= load.latency_p99 <= load.latency_largest
    found = serving.as_json_object(measured)
    assert found["latency_p99"] == measured.medians().latency_p99 and found["machine"]["cores"] >= 1
    assert [line.split()[0] for line in serving.as_table(measured).splitlines()[2:7]] == list(serving.UNITS)


def test_a_server_that_cannot_be_measured_is_one_line(tmp_path, run):
    none = tmp_path / "none"
    with pytest.raises(UserError, match="^measuring the server failed: .*none.*"), serving.served("serve", none):
        pass
    refused(run("benchmark", "--serve", "--threads", "2"), "--serve", "--threads")


def test_a_latency_counts_from_the_time_planned(monkeypatch):
    """A request that waits for the one before it, since no connection is free, is as late as a user would see it."""

    class Slow:
        def __init__(self, port):
            self.lock = lock

        def ask(self, body):
            with self.lock:
                time.sleep(0.02)

    lock = threading.Lock()
    monkeypatch.setattr(serving, "Client", Slow)
    found = serving.latencies(0, [b""], per_second=1000, seconds=0.01, seed=0)
    assert len(found) == 10 and min(found) >= 0.02 and max(found) >= 0.15
    assert serving.percentile([3, 1, 2, 4], 0.5) == 3 and serving.percentile([1, 2], 0.99) == 2
