"""benchmark --explore: a slider is moved in a browser, and a latency ends when its picture has been painted."""

import sys
import time

import pytest

pytest.importorskip("starlette", reason="starlette is not installed: pip install -e '.[explore]'")
pytest.importorskip("latex2mathml", reason="latex2mathml is not installed: pip install -e '.[explore]'")

from layers.experiments.benchmark import exploring
from tests.support.browser import chromium, serving
from tests.train.conftest import run  # noqa: F401 (a fixture)
from tests.train.test_bad_input import refused


@pytest.mark.slow
def test_a_latency_ends_with_the_picture():
    """An answer that comes later makes it longer by as much."""
    with chromium() as browser, serving("explore") as address:
        page = browser.new_page(viewport=exploring.SIZE)
        page.goto(address)
        page.route("**/*", lambda route: (time.sleep(0.3), route.continue_()))
        found = exploring.latencies(page, 3)
    assert len(found) == 3 and min(found) >= 300


@pytest.mark.slow
def test_every_page_is_measured_in_every_repeat():
    with chromium():  # skips where there is none
        pass
    measured = exploring.ExploreBenchmark(2)
    assert list(measured.measure(moves=2)) == [1, 2]
    found = exploring.as_json_object(measured)
    assert list(found["latencies"]) == list(exploring.PAGES) and found["machine"]["cores"] >= 1
    for one in found["latencies"].values():
        assert 0 < one["spread"][0] <= one["p50"] <= one["p90"] <= one["largest"]
    lines = exploring.as_table(measured).splitlines()[2:5]
    assert [line.split("  ")[0] for line in lines] == list(exploring.PAGES)


def test_what_keeps_it_from_measuring_is_one_line(run, monkeypatch, tmp_path):  # noqa: F811
    refused(run("benchmark", "--explore", "--corpus", "r8"), "--explore: measures a page of its own in a browser")
    monkeypatch.setitem(sys.modules, "playwright", None)
    refused(run("benchmark", "--explore"), "playwright is not installed", "pip install playwright")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    refused(run("benchmark", "--explore"), "--explore: uvicorn", "pip install -e '.[explore]'")


def test_a_browser_that_is_missing_is_one_line(run, monkeypatch, tmp_path):  # noqa: F811
    pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
    monkeypatch.setattr(exploring, "NAMES", ())
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    refused(run("benchmark", "--explore"), "no Chromium starts here", "playwright install chromium")
