"""Run an application until Ctrl-C or SIGTERM: requests that have come in are answered first.

It listens on 127.0.0.1 unless told otherwise, so that nobody else in the network reaches it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from engine.report.figures import require_module
from engine.support.errors import UserError, described
from engine.support.output import echo, note
from engine.support.text import sanitize

if TYPE_CHECKING:
    from starlette.applications import Starlette

HOST = "127.0.0.1"
GRACE_SECONDS = 10  # for answers, once it is asked to stop
KEEP_ALIVE_SECONDS = 60  # that a connection without a request stays open, or one on which an answer is not taken
CONNECTIONS = 512  # at a time; further ones are answered with 503


def require_web(command: str) -> None:
    """Raise UserError, which names the command and the extra, where a package of the extra `explore` is missing."""
    for name in ("starlette", "uvicorn", "jinja2"):
        require_module(name, f"{command}: {name} is a part of its server", "explore")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. port: 0 for any that is free. UserError where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)[0]
        listening = socket.socket(family, kind, protocol)  # without the protocol asyncio would let small answers wait
        try:
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(CONNECTIONS)
        except OSError:
            listening.close()
            raise
        return listening
    except (socket.gaierror, UnicodeError):
        raise UserError(f"--host {host}: is no address of this machine; leave it out for {HOST}") from None
    except OSError as error:
        remedy = "choose another port, 0 for any that is free, or another --host"
        reason = os.strerror(error.errno or 0)
        raise UserError(f"--port {port}: cannot be had on {host} ({reason}); {remedy}") from None


class OneLine(logging.Handler):
    """Logs exceptions on standard error in one line each, one a second at most: what others send must not fill it."""

    following = 0.0  # the time from which another one is logged

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and record.created >= self.following:
            self.following = record.created + 1
            note(sanitize(f"error: {record.getMessage().strip()} ({described(error)})"), err=True)


def run(app: Starlette, host: str, port: int, what: str) -> None:
    """Serve an application; returns after SIGINT or SIGTERM, when all that had come in is answered.

    Prints one line: `what` and the address. UserError where the port is taken. What is not answered GRACE_SECONDS after
    the signal gets status 503. A second Ctrl-C ends the process at once, with exit code 130, also after the return.
    """
    run_on(app, listen(host, port), what)


def run_on(app: Starlette, listening: socket.socket, what: str) -> None:
    """run() on a socket that listens already."""
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).addHandler(OneLine(logging.ERROR))
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    class Protocol(H11Protocol):
        def send_400_response(self, msg: str) -> None:
            """Refuse what is no HTTP. Where it is the body of a request that is being answered, that answer is lost."""
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.disconnected = True
                if self.cycle.response_started:
                    self.transport.abort()
                    return
            super().send_400_response(msg)

    class Server(uvicorn.Server):
        should_exit: bool

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                echo(f"{what}: {url} (Ctrl-C ends it)")

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Handle signals by stop(), to the end of the process: uvicorn's own would raise them once more."""
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.stop)
            yield

        async def on_tick(self, counter: int) -> bool:
            if counter % 10 == 0:  # once a second
                self.drop_idle()
            return await super().on_tick(counter)

        idle: dict[Any, float] = {}  # since when a connection waits after one of its requests, or before all

        def drop_idle(self) -> None:
            """Drop connections on which no request has come, or whose answer is not taken, for KEEP_ALIVE_SECONDS."""
            connections: list[Any] = list(self.server_state.connections)
            waiting, now = [(one, one.cycle) for one in connections if is_idle(one)], time.monotonic()
            self.idle = {key: self.idle.get(key, now) for key in waiting}
            for (connection, _), since in self.idle.items():
                if now - since > KEEP_ALIVE_SECONDS:
                    connection.transport.abort()

        def stop(self, number: int, frame: FrameType | None) -> None:
            if self.should_exit and number == signal.SIGINT:
                with contextlib.suppress(OSError):  # of a terminal that has been closed
                    os.write(2, b"stopped by SIGINT at once\n")
                os._exit(128 + number)
            self.should_exit = True

    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        backlog=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(config).run([listening])


def is_idle(connection: Any) -> bool:
    """Whether no request of a connection, an H11Protocol of uvicorn, is being answered."""
    return connection.cycle is None or connection.cycle.response_complete or connection.transport.is_closing()
