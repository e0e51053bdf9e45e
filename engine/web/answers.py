"""Answers: pages from templates, errors as a page, as a part of a page or as JSON; and bodies of requests, read."""

import http
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from engine.report.html import TEMPLATES, render
from engine.support.files import parse_json

FIELDS = 100  # of a form, at most


def page(template: Path, status: int = 200, **values: object) -> HTMLResponse:
    """A page, or a part of one for htmx: a template filled with values, which are escaped.

    A whole page extends served.html and gives it `title`.
    """
    return HTMLResponse(render(template, **values), status)


def error_answer(headers: Mapping[str, str], status: int, message: str) -> Response:
    """An error in the form that the request with these headers asks for; JSON is {"error": message}."""
    message = " ".join(message.split())
    if "hx-request" in headers:
        return page(TEMPLATES / "error_part.html", status, message=message)
    if "text/html" in headers.get("accept", ""):
        title = f"{status} {http.HTTPStatus(status).phrase}"
        return page(TEMPLATES / "error.html", status, title=title, message=message)
    return JSONResponse({"error": message}, status)


async def json_body(request: Request) -> Any:
    """The JSON in the body of a request. HTTPException 415 where it is said to be something else, 400 for a fault."""
    require_type(request, "application/json")
    body = await request.body()
    try:
        return parse_json(body.decode(), refuse_constant)
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the body is not UTF-8 (byte {error.start})") from None
    except ValueError as error:
        raise HTTPException(400, f"the body is no JSON ({error})") from None


async def form_body(request: Request) -> dict[str, str]:
    """The fields of a form in the body of a request; of equal names the last. HTTPException as in json_body()."""
    require_type(request, "application/x-www-form-urlencoded")
    body = await request.body()
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS, errors="strict"))
    except ValueError as error:
        raise HTTPException(400, f"the body is no form ({error})") from None


def require_type(request: Request, expected: str) -> None:
    """Raise HTTPException 415 unless the body has the expected media type; parameters, such as charset, are ignored."""
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != expected:
        raise HTTPException(415, f"Content-Type: {given or 'none'}: send {expected}")


def refuse_constant(name: str) -> None:
    raise HTTPException(400, f"the body is no JSON ({name} is no JSON number)")
