"""Processes that serve a finished run: how they begin and end, and what keeps them from beginning."""

import contextlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from engine.web.server import listen
from tests.support.paths import ROOT
from tests.train.test_bad_input import refused


@contextlib.contextmanager
def serving(line, *words):
    """(process, address) of a command that serves on a free port and begins with this line, while the context lasts."""
    command = [sys.executable, ROOT / "train.py", *words, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = process.stdout.readline()
    assert first.startswith(f"{line}: http://127.0.0.1:"), process.stderr.read()
    yield process, first.removeprefix(f"{line}: ").split()[0]
    process.kill()
    process.communicate()


def port_of(address):
    return int(address.split(":")[2].split("/")[0])


def wait_until_closed(port):
    """Until no connection is taken any more."""
    with pytest.raises(ConnectionRefusedError):
        while True:
            socket.create_connection(("127.0.0.1", port)).close()
            time.sleep(0.02)


def assert_ends_when_asked(process):
    """Without a word, and with exit code 0."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def answer_of_a_stopped(process, port, name, begin, rest=b""):
    """The answer to a request of which `begin` is sent before a signal and `rest` after it; then the process ends.

    Without a word, and with exit code 0; meanwhile it takes no other request.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(begin)
        time.sleep(0.3)
        process.send_signal(getattr(signal, name))
        wait_until_closed(port)
        connection.sendall(rest)
        with connection.makefile("rb") as file:
            answer = file.read()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "") and answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    return answer.partition(b"\r\n\r\n")[2]


def assert_ends_at_a_second_ctrl_c(process, port, begin):
    """At once, though a request, of which this is the beginning, is being answered: exit code 130, and one line."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(begin)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        wait_until_closed(port)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (130, "", "stopped by SIGINT at once\n")


def assert_begins_with_what_it_needs(command, folder, trained, run, monkeypatch):
    """A run that is whole, a port that is free, the packages of the extra: else one line. Damages the run."""
    refused(run(command, folder / "none"), folder / "none")
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        refused(run(command, trained, "--port", port), f"--port {port}", "127.0.0.1", "choose another port")
    (weights,) = (trained / "checkpoints" / "best").glob("weights-*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-9])
    refused(run(command, trained, "--port", "0"), weights.name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    refused(run(command, trained), f"{command}: uvicorn", "pip install -e '.[explore]'")
