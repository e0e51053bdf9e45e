"""A server process prints its address, answers what has come in before it stops, and says in one line what is wrong."""

import contextlib
import http.client
import importlib.util
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from engine.support.errors import UserError
from engine.web.server import listen, require_web
from tests.support.servers import wait_until_closed

PROGRAM = """
import time
import anyio
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from engine.web.application import application, in_threads
from engine.web.guard import Limits
from engine.web import server

async def slow(request):
    await anyio.sleep(0.8)
    return PlainTextResponse("done")

async def post(request):
    return PlainTextResponse(str(len(await request.body())))

async def endless(request):
    await anyio.sleep(60)

def computing(request):
    time.sleep(60)

calls = []

def work(request):
    calls.append(request)
    time.sleep(0.5)
    return PlainTextResponse(str(len(calls)))

async def now(request):
    return PlainTextResponse("")

async def parts():
    for _ in range(10):
        yield b"part"
        await anyio.sleep(0.1)

async def in_parts(request):
    return StreamingResponse(parts())

async def large(request):
    return PlainTextResponse(32_000_000 * "x")

handlers = {"slow": slow, "endless": endless, "computing": computing, "large": large, "parts": in_parts, "now": now}
routes = [Route("/post", post, methods=["POST"]), *(Route(f"/{name}", handler) for name, handler in handlers.items())]
routes.append(Route("/work", in_threads(1)(work)))
server.GRACE_SECONDS = 2
server.KEEP_ALIVE_SECONDS = 1
server.run(application(routes, limits=Limits(body=1000, seconds=3)), "127.0.0.1", 0, "test")
print("ended")
"""


@pytest.fixture
def server(signals_of_a_terminal):
    """(process, port)"""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install -e '.[explore]'")
    command = [sys.executable, "-u", "-c", PROGRAM]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("test: http://127.0.0.1:") and line.endswith("/ (Ctrl-C ends it)\n"), process.stderr.read()
    yield process, int(line.split(":")[3].split("/")[0])
    process.kill()
    process.communicate()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stop_lets_requests_be_answered(server, name):
    process, port = server
    idle = http.client.HTTPConnection("127.0.0.1", port)
    idle.request("POST", "/post", b"12345")
    assert idle.getresponse().read() == b"5"  # and stays connected, which does not hold the server up
    answers = []

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/slow")
        answers.append(connection.getresponse().read())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=10)
    for thread in threads:
        thread.join()
    assert answers == 3 * [b"done"] and (process.returncode, out, err) == (0, "ended\n", "")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_a_second_ctrl_c_ends_it_at_once(server, first):
    """Also when it has waited long enough for an answer, and only its computation goes on."""
    process, port = server
    with asking(port, "/computing"):
        process.send_signal(getattr(signal, first))
        wait_until_closed(port)
        process.send_signal(signal.SIGTERM)  # as launchers pass it on once more: changes nothing
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "stopped by SIGINT at once\n")


def test_what_is_not_answered_in_time_is_told_so(server):
    process, port = server
    with asking(port, "/endless") as connection:
        process.send_signal(signal.SIGTERM)
        answer = connection.getresponse()
        assert answer.status == 503 and "stops" in json.loads(answer.read())["error"]
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "ended\n", "")


@contextlib.contextmanager
def asking(port, path):
    """A connection whose request has come in."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    time.sleep(0.3)
    with contextlib.closing(connection):
        yield connection


@pytest.mark.parametrize(
    "sent, status",
    [
        (b"POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12", b"408"),  # the rest never comes
        (b"POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n" + 5_000_000 * b"x", b"413"),
        (b"POST /post HTTP/1.1\r\nHost: a\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", b"40"),
        (b"GET /slow HTTP/1.1\r\n\r\n", b"40"),
        (b"\x16\x03\x01\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"404"),
        (b"POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12", None),  # leaves
        (b"GET /now HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
def test_odd_requests_are_answered_with_an_error(server, sent, status):
    """The server goes on, and what others send does not fill its standard error."""
    process, port = server
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        if status is not None:
            with connection.makefile("rb") as file:
                assert file.readline().split()[1].startswith(status)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/post", b"12345")
    assert connection.getresponse().read() == b"5"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10) == ("ended\n", "")


def test_a_body_that_is_wrong_ends_an_answer_that_has_begun(server):
    process, port = server
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /parts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"zz\r\n")
        with contextlib.suppress(ConnectionError):
            while connection.recv(1000):
                pass
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10) == ("ended\n", "")


@pytest.mark.parametrize("sent", ["", "GET / HT", "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_a_connection_without_a_request_is_closed(server, sent):
    """Before the first request, in the middle of its head, and after it: nobody keeps others out by saying nothing."""
    _, port = server
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent.encode())
        while connection.recv(1000):
            pass


def test_nothing_is_computed_for_those_who_have_gone(server):
    _, port = server
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(b"GET /work HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/work")
    assert connection.getresponse().read() == b"2"


def test_an_answer_that_is_not_taken_is_dropped(server):
    _, port = server
    for seconds in (3, 6, 12):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(seconds)
            with contextlib.suppress(ConnectionError), connection.makefile("rb") as file:
                if len(file.read()) < 32_000_000:
                    return
    raise AssertionError("it still was there")


@pytest.mark.skipif(importlib.util.find_spec("resource") is None, reason="this system limits no open files")
def test_more_connections_than_the_system_has_are_waited_for(server):
    """One line a second at most, and then it goes on."""
    resource = importlib.import_module("resource")
    process, port = server
    if not hasattr(resource, "prlimit"):
        pytest.skip("this system limits no open files of another process")
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (30, 30))
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.5)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/post", b"12345")
    assert connection.getresponse().read() == b"5"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    lines = err.splitlines()
    assert out == "ended\n" and lines[0].startswith("error: socket.accept() out of system resource")
    assert len(lines) <= 6 and all(line.startswith("error: ") for line in lines), lines


def test_a_port_that_is_taken_is_one_clear_line():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"^--port {port}: cannot be had on 127.0.0.1 \(.+ in use\); choose anoth"):
            listen("127.0.0.1", port)


def test_small_answers_do_not_wait():
    """asyncio turns Nagle's algorithm off where the socket names its protocol alone; else answers take 40 ms more."""
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_a_host_of_another_machine_is_one_clear_line():
    with pytest.raises(UserError, match="^--port 8000: cannot be had on 192.0.2.1 "):
        listen("192.0.2.1", 8000)
    with pytest.raises(UserError, match="^--host a..b: is no address of this machine"):
        listen("a..b", 8000)


def test_without_the_extra_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(UserError, match=r"^serve: starlette .*pip install -e '\.\[explore\]'"):
        require_web("serve")
