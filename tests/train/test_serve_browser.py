"""The page of `serve` in a browser: texts by mouse, keys and without script; nothing is asked of another server."""

import json
import urllib.request

import pytest

pytest.importorskip("starlette", reason="starlette is not installed: pip install -e '.[explore]'")

import train
from tests.support import servers
from tests.support.browser import LOOKS, chromium, look_name, serving, wait_until, watching
from tests.train.conftest import arguments_of, write_corpus

pytestmark = pytest.mark.slow
MARKUP = "<b>money & rates</b>"  # names of classes
LONG = "unbreakable" * 5
TEXT = "the ball and the goal"
HOSTILE = "bank</textarea><b id=injected>ball</b><script>alert(1)</script><img src=x onerror=alert(1)> & ball"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def named(browser, tmp_path_factory):
    """A run on the tiny corpus, in which two classes have odd names."""
    folder = tmp_path_factory.mktemp("named")
    files = write_corpus(folder)
    for path in files.values():
        path.write_text(path.read_text().replace("money\t", f"{MARKUP}\t").replace("food\t", f"{LONG}\t"))
    assert train.main([*arguments_of(files), "--cache-dir", str(folder), "--output", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def address(named):
    with serving("serve", named, "--max-bytes", "500") as url:
        yield url


@pytest.fixture(params=LOOKS, ids=look_name)
def watched(request, browser, address):
    with watching(browser, address, request.param) as found:
        yield found


def predicted(address, text):
    """What the route of JSON answers."""
    body, headers = json.dumps({"texts": [text]}).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}predict", body, headers)) as answer:
        return json.load(answer)["predictions"][0]


def assert_shows(page, expected):
    """The label and all probabilities, to four digits."""
    assert page.locator(".verdict b").inner_text() == expected["label"]
    cells = [row.split("\t")[:2] for row in page.locator("table.bars tbody tr").all_inner_texts()]
    assert {name: float(p) for name, p in cells} == pytest.approx(expected["probabilities"], abs=0.5e-4 + 1e-6)
    assert page.locator("tr.label th").inner_text() == expected["label"]
    assert page.locator("tr.label rect").get_attribute("width") == f"{100 * expected['probability']:.2f}%"


def sent(page, action):
    """Do something that sends the text, and return the answer, when what was shown before has given way to it."""
    page.evaluate("document.querySelector('#prediction').replaceChildren('before')")
    with page.expect_response(lambda answer: answer.request.method == "POST") as waited:
        action()
    wait_until(page, lambda: page.locator("#prediction").inner_text() != "before")
    return waited.value


def test_a_text_is_labelled_while_one_writes_by_mouse_and_by_keys(watched):
    page = watched.open()
    assert page.evaluate("document.activeElement.id") == "text" and watched.fits()
    assert sent(page, lambda: page.keyboard.insert_text(TEXT)).ok
    assert_shows(page, predicted(watched.address, TEXT))
    assert sent(page, page.get_by_role("button", name="Label").click).ok
    assert_shows(page, predicted(watched.address, TEXT))
    page.locator("#text").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "submit"
    assert sent(page, lambda: page.keyboard.press("Enter")).ok
    assert_shows(page, predicted(watched.address, TEXT))
    page.locator("summary").click()
    assert MARKUP in page.locator("details p").inner_text() and watched.fits()
    sent(page, lambda: page.locator("#text").fill(" "))
    assert page.locator("#prediction").inner_text() == ""


def test_markup_stays_text(watched):
    page = watched.open()
    sent(page, lambda: page.locator("#text").fill(HOSTILE))
    assert_shows(page, predicted(watched.address, HOSTILE))
    assert page.locator("#injected").count() == page.locator(".bars b").count() == 0 and watched.fits()


def test_a_text_that_is_too_long_is_refused_and_the_page_goes_on(watched):
    page = watched.open()
    assert sent(page, lambda: page.locator("#text").fill("ball" * 200)).status == 413
    assert "larger than 500 bytes; send less" in page.get_by_role("alert").inner_text()
    assert page.locator("table").count() == 0 and watched.fits()
    assert sent(page, lambda: page.locator("#text").fill(TEXT)).ok
    assert_shows(page, predicted(watched.address, TEXT))
    assert page.get_by_role("alert").count() == 0


def test_a_server_that_is_gone_is_told(browser, named):
    """What was shown belongs to another text, and goes."""
    with servers.serving("serving run", "serve", named) as (process, address):
        page = browser.new_page()
        page.goto(address)
        sent(page, lambda: page.locator("#text").fill(TEXT))
        servers.assert_ends_when_asked(process)
        page.locator("#text").fill("bank")
        page.get_by_role("alert").filter(has_text="the server gives no answer").wait_for()
        assert page.locator("table").count() == 0
        page.close()


def test_it_works_without_script(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    for text in (TEXT, HOSTILE):
        page.locator("#text").fill(text)
        page.get_by_role("button", name="Label").click()
        assert_shows(page, predicted(address, text))
        assert page.locator("#text").input_value() == text and page.locator("#injected").count() == 0
    page.locator("#text").fill("ball" * 200)
    page.get_by_role("button", name="Label").click()
    assert "larger than 500 bytes" in page.get_by_role("alert").inner_text()
    context.close()
