"""The page of a state: its numbers, its links, what it refuses, and that any text stays text."""

import html
import json
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

pytest.importorskip("starlette", reason="starlette is not installed: pip install -e '.[explore]'")
pytest.importorskip("latex2mathml", reason="latex2mathml is not installed: pip install -e '.[explore]'")

from click.testing import CliRunner
from starlette.testclient import TestClient

from layers.experiments.explore.app import make_application
from layers.experiments.explore.computation import compute
from layers.experiments.explore.source import RandomNetworks
from layers.experiments.explore.state import State, state_of
from layers.experiments.trace.command import trace
from tests.support.pages import check_page, words_of

HTML = {"accept": "text/html"}


def client_of(source):
    return TestClient(make_application(source), base_url="http://127.0.0.1", raise_server_exceptions=True)


@pytest.fixture(scope="module")
def client():
    return client_of(RandomNetworks())


def page(client, **state):
    answer = client.get("/", params=state, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_numbers_are_those_of_trace_json(client):
    """Values and gradients of every array, the loss and the probabilities."""
    options = ["profits rose in the third", "--operation", "interference", "--seed", "7", "--json", "--values", "64"]
    traced = json.loads(CliRunner().invoke(trace, options).output)
    state = State(operation="interference", seed=7)
    found = compute(RandomNetworks(), state)
    for row in traced["backward"]:
        mine = found.quantities[row["name"]].gradient.ravel()[: len(row["values"])]
        assert [float(f"{v:.6g}") for v in mine] == row["values"], row["name"]
    text = page(client, operation="interference", seed="7")
    assert f'id="loss">{traced["loss"]:.4g}<' in text
    for probability in traced["probabilities"].values():
        assert f">{probability:.4f}<" in text
    seen = 0
    for wave, letter in zip(traced["phasors"]["blocks"][0], "ABZ"):
        assert f"{wave['circle']} = {wave['radius']:.4g}" in html.unescape(text), letter
        for name in ("re", "im"):
            seen += len(wave[name])
    assert seen == 36


def test_the_state_is_found_again_in_links_and_in_the_header(client):
    answer = client.get("/", params={"seed": "3", "width": "4", "x.1.0": "0.5", "steps": "2"}, headers=HTML)
    link = answer.headers["x-state"]
    assert state_of(parse_qsl(urlsplit(link).query)) == State(seed=3, steps=2, moved=((1, 0, 0.5),))
    assert f'id="link" href="{html.escape(link)}"' in answer.text
    assert client.get(link, headers=HTML).text == answer.text


def test_values_that_move_nothing_are_left_out_of_the_link(client):
    text = page(client)
    fields = re.findall(r'name="(x\.\d\.\d)"[^>]*?value="([^"]*)"', text)
    assert len(fields) == 6
    for sent in (dict(fields), {name: f"{float(value):.15g}" for name, value in fields}):  # as browsers round it
        assert client.get("/", params=sent, headers=HTML).headers["x-state"] == "/?"
    assert client.get("/", params={"x.5.7": "1"}, headers=HTML).headers["x-state"] == "/?"  # a dimension it lacks


@pytest.mark.parametrize("change", [{"text": "other words"}, {"seed": "1"}, {"width": "3"}])
def test_values_of_a_form_move_no_other_tokens(client, change):
    text = page(client, **{"x.1.0": "2.5"})
    fields = {"of": re.search(r'name="of" value="(\d+)"', text)[1], "x.1.0": "2.5"}
    assert client.get("/", params=fields, headers=HTML).headers["x-state"] == "/?x.1.0=2.5"
    assert "x." not in client.get("/", params={**fields, **change}, headers=HTML).headers["x-state"]


def test_each_link_of_the_page_leads_to_a_page(client):
    text = page(client, steps="1", step="3", broken="sign")
    links = {html.unescape(link) for link in re.findall(r'href="(/[^"]*)"', text)} - {"/static/style.css"}
    assert len(links) > 25
    for link in links:
        assert client.get(link, headers=HTML).status_code == 200, link


def test_every_equation_of_backward_is_shown(client):
    text = page(client)
    count = len(re.findall(r'<a href="[^"]*" class="ok', text))
    assert count == 18
    seen = set()
    for step in range(count):
        shown = page(client, step=str(step))
        assert f"{step + 1} of {count}" in shown
        seen.add(re.search(r'class="number">(E\d+)<', shown)[1])
        assert "<math" in shown and "five-point" in shown or step == 0
    assert seen == {"E15", "E8", "E14", "E10", "E21", "E11", "E7", "E6", "E4", "E9"}
    assert page(client, step="99") == page(client, step="17")


def test_a_broken_gradient_is_shown_as_wrong(client):
    text = html.unescape(page(client, broken="path", at="combined", step="12", steps="3"))
    assert "WRONG: " in text and "E6 modulation (combined wave)" in text and "Broken on purpose: a path" in text
    assert 'class="curve loss wrong"' in text and 'class="curve loss right"' in text


def test_moving_a_token_moves_pictures_loss_and_gradients(client):
    before, after = page(client), page(client, **{"x.1.0": "2.5"})
    for pattern in (
        r'<figure class="wave">.*?</svg>',
        r'id="loss">.*?<',
        r'class="gradient.*?">.*?<',
        r'class="bars".*?</div>',
    ):
        old, new = (re.findall(pattern, text, re.DOTALL) for text in (before, after))
        assert len(old) == len(new) and all(a != b for a, b in zip(old, new)), pattern


def test_the_export_is_one_file_without_script(client):
    answer = client.get("/export", params={"text": "a <b> c", "steps": "4"}, headers=HTML)
    root = check_page(answer.text)
    words = words_of(root)
    assert "A snapshot without script" in words and "First wave" not in words and "first wave" in words
    assert not list(root.iter("input")) and not list(root.iter("select")) and not list(root.iter("button"))


@pytest.mark.parametrize(
    "query, message",
    [
        ("width=1e30", "width: expected a whole number from 2 to 8, got '1e30'"),
        ("rate=nan", "rate: expected a number"),
        ("x.1.0=nan", "x.1.0: expected a number"),
        ("text=" + "x" * 30_000, "text: has 30,000 characters, more than 200"),
        ("text=+", "text: has no word"),
        ("label=9", "label: there is no class '9'; the classes are 0, 1, 2"),
        ("nothing=1", "nothing: there is no such name"),
        ("seed=1&seed=2", "seed: is given twice"),
        ("at=nowhere&broken=sign", "at: there is no stage 'nowhere'"),
        ("operation=%3Cscript%3E", "operation: expected one of"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/export"])
def test_what_is_no_state_is_one_line(client, path, query, message):
    for headers in (HTML, {"hx-request": "true"}):
        answer = client.get(f"{path}?{query}", headers=headers)
        assert answer.status_code == 400 and "<script>" not in answer.text.replace("<script src", "")
        (line,) = re.findall(r'role="alert">([^\n]*)</p>', answer.text)
        assert message in html.unescape(line)
    assert client.get(f"{path}?{query}").json()["error"].startswith(message.partition(":")[0])


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "\"'><b>x</b>", "a\x01b \x1b[2J", "政治 🎉", "{{ 777 * 777 }}", "\ufffe"]
)
def test_a_text_stays_a_text(client, text):
    answer = client.get("/?" + urlencode({"text": text}), headers=HTML)
    assert answer.status_code == 200
    assert "<script>" not in answer.text and "<b>" not in answer.text and "\x1b" not in answer.text
    assert "603729" not in answer.text


def test_only_get_is_answered_and_nothing_but_these_routes(client):
    assert client.post("/", headers=HTML).status_code == 405
    assert client.get("/none").status_code == 404
    assert client.get("/static/explore.js").status_code == client.get("/static/explore.css").status_code == 200
    answer = client.get("/", headers=HTML)
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", answer.text)
    assert client.get("/", headers={**HTML, "host": "evil.example"}).status_code == 403
