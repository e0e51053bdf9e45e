"""Make an application of routes: behind the checks of guard.py, with the style of all pages and htmx as static files.

    async def hello(request: Request) -> Response:
        return page(TEMPLATES / "hello.html", title="Hello", name=request.query_params.get("name", ""))

    app = application([Route("/", hello), Route("/predict", predict, methods=["POST"])])
    run(app, "127.0.0.1", 8000, "hello")     # of server.py

A page's template extends served.html, which loads /static/style.css, htmx.min.js and served.js; a page that needs a
script of its own hands in its file and names it in the block `scripts`. A handler raises HTTPException or UserError for
what the one who asks can mend: both become a one-line answer (answers.py). One that computes is a plain function, which
Starlette runs in a thread of its own; the time limit does not stop it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
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


def sender(path: Path) -> Callable[[Request], Response]:
    """A handler that sends a file."""

    def send(request: Request) -> Response:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return send


def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = error_answer(request.headers, error.status_code, error.detail)
    answer.headers.update(error.headers or {})  # such as Allow
    return answer


def on_user_error(request: Request, error: Exception) -> Response:
    return error_answer(request.headers, 400, str(error))
