"""A headless Chromium for tests of pages, by Playwright: its own, or that of the system."""

import contextlib
import re
import subprocess
import sys
import time

import pytest

from engine.support.errors import UserError
from layers.experiments.benchmark import exploring
from tests.support.examples import if_thorough
from tests.support.paths import ROOT

LOOKS = [(1200, "light"), (400, "dark"), *if_thorough((1200, "dark"), (400, "light"))]  # width in pixels, colours


@contextlib.contextmanager
def chromium():
    """A browser; skips with the reason where there is none."""
    with contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(exploring.chromium())
        except UserError as error:
            pytest.skip(str(error))
        yield browser


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


def wait_until(page, is_so):
    """Wait until is_so() is. (page.wait_for_function() evaluates text in the page, which its policy forbids.)"""
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, "the page does not change"
        page.wait_for_timeout(10)


class Watched:
    """A page, and what it asked for and complained of."""

    def __init__(self, context, address):
        self.address, self.asked, self.complaints = address, [], []
        self.page = context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def open(self, query=""):
        self.page.goto(self.address + query)
        return self.page

    def changed(self, action, selector=".wave svg"):
        """Do something that changes the first element of a selector; wait until it has."""
        find = "(s) => document.querySelector(s).outerHTML"
        before = self.page.evaluate(find, selector)
        action()
        wait_until(self.page, lambda: self.page.evaluate(find, selector) != before)

    def settled(self, pattern):
        """Wait until the address matches a pattern."""
        self.page.wait_for_url(re.compile(pattern))

    def fits(self):
        """Whether the page needs no horizontal scrolling."""
        return self.page.evaluate("document.documentElement.scrollWidth") == self.page.viewport_size["width"]

    def check(self):
        told = re.compile("the server responded with a status of 4(00|13)")  # the browser itself tells of a refusal
        assert [text for text in self.complaints if not told.search(text)] == []
        assert all(url.startswith((self.address, "data:")) for url in self.asked), self.asked


@contextlib.contextmanager
def watching(browser, address, look):
    """A Watched page of a width and colours, one of LOOKS, which is checked at the end."""
    width, scheme = look
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(20_000)
    found = Watched(context, address)
    yield found
    found.check()
    context.close()


def look_name(look):
    return f"{look[0]}-{look[1]}"
