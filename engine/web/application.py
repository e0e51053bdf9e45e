"""Make an application of routes: behind the checks of guard.py, with the style of all pages and htmx as static files.

    async def hello(request: Request) -> Response:
        return page(TEMPLATES / "hello.html", title="Hello", name=request.query_params.get("name", ""))

    app = application([Route("/", hello), Route("/predict", predict, methods=["POST"])])
    run(app, "127.0.0.1", 8000, "hello")     # of server.py

A page's template extends served.html, which loads /static/style.css, htmx.min.js and served.js; a page that needs a
script of its own hands in its file and names it in the block `scripts`. A handler raises HTTPException or UserError for
what the one who asks can mend: both become a one-line answer (answers.py). One that computes is a plain function,
decorated with in_threads(); the time limit does not stop it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from engine.report.html import TEMPLATES
from engine.support.errors import UserError
from engine.web.answers import error_answer
from engine.web.guard import Guard, Limits

HERE = Path(__file__).parent
FILES = {
    "style.css": TEMPLATES / "style.css",
    "htmx.min.js": HERE / "htmx" / "htmx.min.js",
    "served.js": HERE / "served.js",
}
LIMITS = Limits()
Handler = Callable[[Request], Awaitable[Response]]


def application(
    routes: Sequence[BaseRoute],
    files: Mapping[str, Path] | None = None,
    names: Collection[str] = (),
    limits: Limits = LIMITS,
    lifespan: Callable[[Starlette], Any] | None = None,
) -> Starlette:
    """The application of these routes.

    files: further ones that are sent as /static/NAME. names: further hosts by whose names the server is reached.
    lifespan: an asynchronous context manager around all requests.
    """
    static = [Route(f"/static/{name}", sender(path)) for name, path in {**FILES, **(files or {})}.items()]
    return Starlette(
        routes=[*routes, *static],
        middleware=[Middleware(Guard, names=names, limits=limits)],
        exception_handlers={HTTPException: on_http_exception, UserError: on_user_error},
        lifespan=lifespan,
    )


def in_threads(count: int) -> Callable[[Callable[[Request], Response]], Handler]:
    """A decorator: handlers are run in threads, `count` at a time in all, and not at all when their client has gone."""
    free = asyncio.Semaphore(count)

    def decorate(handler: Callable[[Request], Response]) -> Handler:
        async def handle(request: Request) -> Response:
            await request.body()  # what comes after it can only be that the client has gone
            async with free:
                if await request.is_disconnected():
                    raise ClientDisconnect
                return await run_in_threadpool(handler, request)

        return handle

    return decorate


def sender(path: Path) -> Handler:
    """A handler that sends a file."""

    async def send(request: Request) -> Response:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return send


async def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = error_answer(request.headers, error.status_code, error.detail)
    answer.headers.update(error.headers or {})  # such as Allow
    return answer


async def on_user_error(request: Request, error: Exception) -> Response:
    return error_answer(request.headers, 400, str(error))
