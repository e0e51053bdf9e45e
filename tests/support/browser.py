"""A headless Chromium for tests of pages, by Playwright: its own, or that of the system."""

import contextlib
import shutil
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextlib.contextmanager
def chromium():
    """A browser; skips with the reason where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright; it drives a browser"
    )
    with playwright.sync_playwright() as driver:
        path = next(filter(None, map(shutil.which, NAMES)), None)
        try:
            browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        except playwright.Error as error:
            pytest.skip(f"no Chromium starts here ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


@contextlib.contextmanager
def serving(*words):
    """The address of what a command of train.py serves."""
    command = [sys.executable, ROOT / "train.py", *words, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, process.stderr.read()
        yield next(word for word in line.split() if word.startswith("http"))
        assert process.poll() is None
    finally:
        process.kill()
        _, err = process.communicate()
    assert err == ""
