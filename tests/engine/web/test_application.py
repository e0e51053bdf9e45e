"""Every request passes the same checks and limits, and every error is one line in the form that was asked for."""

import anyio
import pytest

pytest.importorskip("starlette", reason="starlette is not installed: pip install -e '.[explore]'")

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from engine.support.errors import UserError
from engine.web.answers import form_body, json_body
from engine.web.application import application
from engine.web.guard import HEADERS, Limits

MARKUP = "a.csv: <script>alert(1)</script>"
POST = {"methods": ["POST"]}
JSON, FORM = {"content-type": "application/json"}, {"content-type": "application/x-www-form-urlencoded"}


async def hello(request):
    return PlainTextResponse("hello")


async def read_json(request):
    return PlainTextResponse(repr(await json_body(request)))


async def read_form(request):
    return PlainTextResponse(repr(await form_body(request)))


async def unread(request):
    return PlainTextResponse("")


async def sleep(request):
    await anyio.sleep(10)


def of_user(request):
    raise UserError(MARKUP)


def of_http(request):
    raise HTTPException(503, "busy", headers={"Retry-After": "1"})


def broken(request):
    raise KeyError("one\ntwo")


ROUTES = [
    Route("/", hello),
    Route("/json", read_json, **POST),
    Route("/form", read_form, **POST),
    Route("/unread", unread, **POST),
    Route("/sleep", sleep),
    Route("/user", of_user),
    Route("/http", of_http),
    Route("/broken", broken),
]


@pytest.fixture
def client(tmp_path):
    script = tmp_path / "own.js"
    script.write_text("'use strict';\n")
    app = application(ROUTES, {"own.js": script}, ["Models.example", ""], Limits(body=1000, seconds=20))
    with TestClient(app, "http://127.0.0.1:8000") as client:
        yield client


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 200),
        ({"host": "localhost:9000"}, 200),  # through a tunnel
        ({"host": "LOCALHOST."}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "models.example"}, 200),
        ({"host": "evil.example:8000"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "127.0.0.1@evil.example"}, 403),
        ({"host": "0.0.0.0:8000"}, 403),
        ({"host": "[:"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"origin": "https://models.example", "host": "models.example"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:3000"}, 403),  # another server of the same machine
        ({"origin": "HTTP://127.0.0.1:8000"}, 200),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": ""}, 403),
    ],
)
def test_only_requests_for_this_server_by_its_own_pages_are_answered(client, headers, status):
    answer = client.get("/", headers=headers)
    assert answer.status_code == status
    assert answer.text == "hello" if status == 200 else set(answer.json()) == {"error"}


def test_names_of_loopback_are_refused_at_other_addresses():
    with TestClient(application(ROUTES), "http://192.0.2.7:8000") as client:
        assert client.get("/").status_code == 200
        assert client.get("/", headers={"host": "localhost:8000"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/user", "/missing", "/broken", "/static/style.css", "/static/htmx.min.js"])
def test_every_answer_has_the_headers_of_the_policy(client, path):
    headers = client.get(path).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS and "cache-control" in headers
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("path, body, headers, status, words", [
    ("/json", b'{"a": [1, "\\u00e9"]}', JSON, 200, "{'a': [1, 'é']}"),
    ("/json", b"1", {"content-type": "Application/JSON; charset=utf-8"}, 200, "1"),
    ("/json", b"1", {}, 415, "Content-Type: none: send application/json"),
    ("/json", b"1", {"content-type": "text/plain"}, 415, "Content-Type: text/plain: send application/json"),
    ("/json", b"{", JSON, 400, "the body is no JSON (Expecting property name"),
    ("/json", b"", JSON, 400, "the body is no JSON"),
    ("/json", b"\xff", JSON, 400, "the body is not UTF-8 (byte 0)"),
    ("/json", b"[NaN]", JSON, 400, "NaN is no JSON number"),
    ("/json", b'"%s"' % (998 * b"x"), JSON, 200, "xxx"),
    ("/json", b'"%s"' % (999 * b"x"), JSON, 413, "the body is larger than 1,000 bytes"),
    ("/unread", 1001 * b"x", {}, 413, "the body is larger than 1,000 bytes"),
    ("/json", b"1", {**JSON, "content-length": "9" * 99}, 413, "the body is larger"),
    ("/json", b"1", {**JSON, "content-length": "-1"}, 413, "the body is larger"),
    ("/form", b"text=a+b%00&text=&x=%3Cb%3E", FORM, 200, "{'text': '', 'x': '<b>'}"),
    ("/form", b"text=%ff", FORM, 400, "the body is no form"),
    ("/form", b"&".join([b"a=1"] * 101), FORM, 400, "the body is no form"),
    ("/form", b"text=1", JSON, 415, "send application/x-www-form-urlencoded"),
    ("/", b"", {}, 405, "Method Not Allowed"),
    ("/static/../answers.py", b"", {}, 404, "Not Found"),
])  # fmt: skip
def test_bodies_are_read_or_refused(client, path, body, headers, status, words):
    answer = client.post(path, content=body, headers=headers)
    assert answer.status_code == status and words in (answer.text if status == 200 else answer.json()["error"])


def test_a_body_without_a_length_is_counted(client):
    answer = client.post("/json", content=iter([600 * b"x", 600 * b"x"]), headers=JSON)
    assert answer.status_code == 413 and "larger than 1,000 bytes" in answer.json()["error"]


@pytest.mark.parametrize(
    "body, words", [(b"[" * 200_000, "nested too deep"), (b"9" * 5000, "a number of thousands of digits")]
)
def test_json_that_python_cannot_hold_is_refused(body, words):
    with TestClient(application(ROUTES)) as client:
        answer = client.post("/json", content=body, headers=JSON)
    assert answer.status_code == 400 and answer.json()["error"] == f"the body is no JSON ({words})"


def test_time_is_limited():
    with TestClient(application(ROUTES, limits=Limits(seconds=0.3))) as client:
        answer = client.get("/sleep")
    assert answer.status_code == 503 and answer.json()["error"].startswith("no answer was found within 0.3 s")


def test_an_error_is_json_or_a_page_or_a_part_of_one(client):
    """Markup in its message stays text."""
    as_json, as_page, as_part = (
        client.get("/user", headers=headers) for headers in ({}, {"accept": "text/html,*/*"}, {"hx-request": "true"})
    )
    assert as_json.json() == {"error": MARKUP} and as_json.status_code == as_page.status_code == 400
    assert as_part.text.startswith('<p class="verdict bad" role="alert">a.csv: &lt;script&gt;')
    assert as_part.text.strip() in as_page.text and "<h1>400 Bad Request</h1>" in as_page.text
    assert client.get("/http").headers["retry-after"] == "1"


def test_what_fails_unexpectedly_is_one_line(client, capfd):
    """No traceback, and the server goes on."""
    answer = client.get("/broken")
    assert answer.status_code == 500 and "standard error" in answer.json()["error"]
    error = capfd.readouterr().err
    assert error.startswith("error: GET /broken: KeyError: ") and error.count("\n") == 1
    assert "(test_application.py:" in error and client.get("/").text == "hello"


def test_static_files_are_style_htmx_and_those_of_the_caller(client):
    sizes = {name: len(client.get(f"/static/{name}").text) for name in ("style.css", "htmx.min.js", "own.js")}
    assert sizes["style.css"] > 1000 and sizes["htmx.min.js"] < 50_000 and sizes["own.js"] == 14
    assert client.get("/static/htmx.min.js").headers["content-type"].startswith("text/javascript")
