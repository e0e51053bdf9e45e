"""Checks and limits that hold for every request, in front of all routes.

Host: a request must name this server as its host; otherwise a page elsewhere whose name is made to point to this
address (DNS rebinding) could read answers. Origin: a browser tells from which page a request comes, and pages of other
servers get no answer. Time and size are limited, and what fails unexpectedly is one line on standard error and a short
answer. Every answer has a Content-Security-Policy, by which a page loads and runs only what this server sends as a
file: no inline script or style, nothing from elsewhere, no frame around it.
"""

import asyncio
import ipaddress
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.support.errors import described
from engine.support.output import note
from engine.support.text import sanitize
from engine.web.answers import error_answer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send forms with "Origin: null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
DRAIN_SECONDS = 1.0  # for the rest of a body that is too large, since its sender may read no answer before


class Limits(NamedTuple):
    """body: bytes of a request's body; seconds: until the answer begins, the reading of the body included."""

    body: int = 2**20
    seconds: float = 30.0


class Guard:
    """The ASGI middleware of these checks. names: further hosts by whose names the server is reached."""

    def __init__(self, app: ASGIApp, names: Collection[str], limits: Limits) -> None:
        self.app, self.names, self.limits = app, frozenset(map(host_of, names)), limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Guarded(scope, receive, send, self.limits)
        try:
            with anyio.fail_after(self.limits.seconds):
                self.require_own(scope)
                await request.require_small()
                await self.app(scope, request.receive, request.send)
        except HTTPException as error:
            await request.answer(error.status_code, error.detail)
        except TimeoutError:
            limit = f"within {self.limits.seconds:g} s"
            if request.is_read:
                await request.answer(503, f"no answer was found {limit}; ask for less at a time, or try again later")
            else:
                await request.answer(408, f"the body of the request did not arrive {limit}; send it again")
        except asyncio.CancelledError:  # by the server, which has been asked to stop and waits no longer
            await request.answer(503, "the server stops; try again later")
        except ClientDisconnect:  # in the middle of its body
            pass
        except Exception as error:
            note(sanitize(f"error: {scope['method']} {scope['path']}: {described(error)}"), err=True)
            await request.answer(500, "the server failed on this request; its standard error says where")

    def require_own(self, scope: Scope) -> None:
        """Raise HTTPException for a request that does not name this server, or that a page of another one sends."""
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        host = host_of(hosts[0]) if len(hosts) == 1 else ""
        if not host or host not in self.own_names(scope):
            shown = ", ".join(hosts) or "none"
            raise HTTPException(403, f"Host: {shown}: is not this server; add the name with --allow-host")
        if any(origin.lower().partition("://")[2] != hosts[0].lower() for origin in origins):
            raise HTTPException(403, f"Origin: {', '.join(origins)}: pages of other servers get no answer")

    def own_names(self, scope: Scope) -> frozenset[str]:
        """The names and addresses of this server: those that were given, and the address that was connected to."""
        address = host_of(format_host(scope["server"][0])) if scope.get("server") else ""
        return self.names | {address} | (frozenset(LOOPBACK_NAMES) if is_loopback(address) else frozenset())


class Guarded:
    """A request with its limits, and its answer: whether the body has been read, whether the answer has begun."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self.scope, self.next_message, self.send_on, self.limits = scope, receive, send, limits
        headers = Headers(scope=scope)
        self.length = headers.get("content-length", "0")
        self.is_read = self.length == "0" and "transfer-encoding" not in headers
        self.read, self.has_begun = 0, False

    async def require_small(self) -> None:
        """Raise HTTPException where the headers already announce a body that is too large."""
        if not self.length.isdecimal() or int(self.length[:20]) > self.limits.body:
            await self.refuse_body()

    async def receive(self) -> Message:
        message = await self.next_message()
        if message["type"] == "http.request":
            self.read += len(message.get("body", b""))
            self.is_read = not message.get("more_body", False)
            if self.read > self.limits.body:
                await self.refuse_body()
        return message

    async def refuse_body(self) -> None:
        with anyio.move_on_after(DRAIN_SECONDS):
            while not self.is_read:
                message = await self.next_message()
                self.is_read = not message.get("more_body", False)
        raise HTTPException(413, f"the body is larger than {self.limits.body:,} bytes; send less at a time")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            if not self.is_read:
                headers["Connection"] = "close"  # else the rest of the body would be taken for the next request
        await self.send_on(message)

    async def answer(self, status: int, message: str) -> None:
        """Answer with an error, unless an answer has begun already."""
        if not self.has_begun:
            await error_answer(Headers(scope=self.scope), status, message)(self.scope, self.next_message, self.send)


def host_of(host: str) -> str:
    """The host of "host:port", "[address]:port" or one without port: a name in lower case, or the plain address."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return (unmapped(name) if ":" in name else name).rstrip(".")
    except ValueError:
        return ""


def format_host(host: str) -> str:
    """A host as it stands in an address: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def unmapped(address: str) -> str:
    """An IPv6 address in its shortest form, or the IPv4 address that it stands for. ValueError where it is none."""
    parsed = ipaddress.IPv6Address(address)
    return str(parsed.ipv4_mapped or parsed)


def is_loopback(address: str) -> bool:
    """Whether an address reaches this machine alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
