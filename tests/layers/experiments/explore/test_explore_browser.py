"""The page in a browser: sliders, keys, steps, training, undo, link and export; nothing is asked of another server."""

from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="starlette is not installed: pip install -e '.[explore]'")
pytest.importorskip("latex2mathml", reason="latex2mathml is not installed: pip install -e '.[explore]'")

from tests.support import servers
from tests.support.browser import LOOKS, chromium, look_name, serving, watching

pytestmark = pytest.mark.slow
SLIDER = '[id="x.1.0"]'


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(browser):
    with serving("explore") as url:
        yield url


@pytest.fixture(params=LOOKS, ids=look_name)
def watched(request, browser, address):
    with watching(browser, address, request.param) as found:
        yield found


def test_a_slider_moves_the_pictures_by_mouse_and_by_keys(watched):
    page = watched.open()
    assert watched.fits()
    slider, picture = page.locator(SLIDER), page.locator(".wave svg").first
    before, loss = picture.screenshot(), page.locator("#loss").inner_text()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    watched.changed(lambda: page.mouse.move(box["x"] + 0.8 * box["width"], middle))
    assert "x.1.0" not in page.url  # while it moves
    page.mouse.up()
    watched.settled(r"x\.1\.0=")
    assert picture.screenshot() != before and page.locator("#loss").inner_text() != loss
    value = float(slider.input_value())
    watched.changed(lambda: slider.press("ArrowRight"))
    assert float(slider.input_value()) > value
    assert page.evaluate("document.activeElement.id") == "x.1.0"


def test_keys_step_through_backward_and_train(watched):
    page = watched.open()
    number = page.locator("#backward .step .number")
    for key, expected in (("", "E15"), ("Right", "E8"), ("Right", "E14"), ("Right", "E10"), ("Left", "E14")):
        if key:
            page.keyboard.press(f"Arrow{key}")
        number.filter(has_text=expected).wait_for()
    loss = float(page.locator("#loss").inner_text())
    watched.changed(lambda: page.keyboard.press("t"))
    watched.changed(lambda: page.get_by_role("link", name="+10 steps").click())
    watched.settled("steps=11")
    assert float(page.locator("#loss").inner_text()) < loss
    assert number.inner_text() == "E14"
    for left in ("steps=1&", "step=2"):
        watched.changed(lambda: page.keyboard.press("u"))
        watched.settled(left)
    assert float(page.locator("#loss").inner_text()) == loss


def test_a_broken_gradient_is_seen_and_leads_astray(watched):
    page = watched.open("?steps=5")
    right = float(page.locator("#loss").inner_text())
    assert "bad" not in page.locator("#verdict").get_attribute("class")
    watched.changed(lambda: page.locator("#field-broken").select_option("sign"))
    page.locator("#verdict.bad").filter(has_text="WRONG").wait_for()
    assert float(page.locator("#loss").inner_text()) > right
    assert page.locator(".curve.wrong").count() == page.locator(".curve.right").count() == 1
    watched.changed(lambda: page.locator("#field-at").select_option("combined"))
    page.locator("#verdict").filter(has_text="E6 modulation (combined wave)").wait_for()
    watched.changed(lambda: page.locator("#undo").click())
    watched.changed(lambda: page.locator("#undo").click())
    assert float(page.locator("#loss").inner_text()) == right


def test_a_link_and_a_file_show_the_same(watched, tmp_path, browser):
    page = watched.open("?operation=interference")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(SLIDER).focus()
    watched.changed(lambda: page.keyboard.press("End"))
    watched.settled(r"x\.1\.0=4")
    picture = page.locator(".wave svg").first.inner_html()
    page.locator("#copy").click()
    page.get_by_text("copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    with page.expect_download() as download:
        page.locator("#export").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    page.goto(link)
    assert page.locator(".wave svg").first.inner_html() == picture
    context = browser.new_context(java_script_enabled=False)
    saved, asked = context.new_page(), []
    saved.on("request", lambda request: asked.append(request.url))
    saved.goto(Path(path).as_uri())
    assert saved.locator(".wave svg").first.inner_html() == picture
    assert "does not move" in saved.locator("main").inner_text() and asked == [Path(path).as_uri()]
    context.close()


def test_what_is_wrong_is_said_on_the_page_which_goes_on(watched):
    page = watched.open()
    page.locator("#text").fill(" ")
    page.keyboard.press("Enter")
    page.locator("#message").filter(has_text="text: has no word").wait_for()
    page.locator("#text").fill("<b>a</b> & b")
    watched.changed(lambda: page.keyboard.press("Enter"))
    assert page.locator("#message").inner_text() == ""
    assert page.locator(".slider label").all_inner_texts() == ["[CLS]", "<", "b", ">", "a"]


def test_a_server_that_is_gone_is_told(browser):
    with servers.serving("explore", "explore") as (process, address):
        page = browser.new_page()
        page.goto(address)
        servers.assert_ends_when_asked(process)
        page.locator(SLIDER).press("ArrowRight")
        page.locator("#message").filter(has_text="the server gives no answer").wait_for()
        page.close()


def test_the_keyboard_reaches_everything(watched):
    page = watched.open()
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.id || ''"))
        if reached[-1] == "export":
            break
    assert {"text", "operation", "x.0.0", "x.5.0", "rate", "broken", "undo", "next", "grow", "copy", "export"} <= set(
        reached
    )
    page.locator("#next").focus()
    page.keyboard.press("Enter")
    page.locator("#backward .step .number").filter(has_text="E8").wait_for()
    assert page.evaluate("document.activeElement.id") == "next"


def test_it_works_without_script(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    picture = page.locator(".wave svg").first.inner_html()
    page.locator("#field-operation").select_option("interference")
    page.get_by_role("button", name="Show").click()
    assert "operation=interference" in page.url and page.locator("#undo").is_hidden()
    page.get_by_role("link", name="+10 steps").click()
    assert page.locator(".wave svg").first.inner_html() != picture and "steps=10" in page.url
    context.close()
