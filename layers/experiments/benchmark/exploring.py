"""The page of explore in a browser: milliseconds from the move of a slider to the picture that follows it.

A headless Chromium, driven by Playwright, holds a slider with the mouse and moves it MOVES times, each when the picture
of the last has been painted. A latency counts from the time at which the browser received the move to the end of the
frame in which the picture has changed; frames come every 16.7 ms.
"""

import contextlib
import shutil
import statistics
from collections.abc import Iterator
from typing import Any

from engine.benchmark.machine import describe_machine
from engine.support.errors import UserError, first_line
from engine.support.text import format_table
from layers.experiments.benchmark.serving import percentile, served

MOVES = 40
GOLDEN = 0.618034  # its multiples leave no two moves at one place, whose answer would be remembered
PAGES = {  # what the page shows, as a query string
    "as it opens": "",
    "five words of eight dimensions": "?width=8&text=a+b+c+d+e",
    "after 100 steps, a gradient broken": "?steps=100&broken=sign",
}
SLIDER = '[id="x.1.0"]'
SIZE = {"width": 1200, "height": 900}
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")  # of the system's browser
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 60.0  # seconds for one picture
WATCH = """() => {
  const picture = () => document.querySelector(".wave svg").outerHTML;
  let moved = null, before = null;
  window.latencies = [];
  document.addEventListener("input", (event) => { moved = event.timeStamp; before = picture(); }, true);
  new MutationObserver(() => {
    if (moved === null || picture() === before) return;
    const since = moved;
    moved = null;
    requestAnimationFrame(() => setTimeout(() => window.latencies.push(performance.now() - since)));
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
}"""


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser of Playwright: that of the system, or its own. UserError where there is none."""
    try:
        from playwright import sync_api as playwright
    except ImportError:
        raise UserError("playwright is not installed, which drives a browser; run pip install playwright") from None
    with playwright.sync_playwright() as driver:
        path = next(filter(None, map(shutil.which, NAMES)), None)
        try:
            browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        except playwright.Error as error:
            remedy = "install the package chromium of your system, or run playwright install chromium"
            raise UserError(f"no Chromium starts here ({first_line(error)}); {remedy}") from None
        yield browser
        browser.close()


def latencies(page: Any, moves: int = MOVES) -> list[float]:
    """Milliseconds to the picture after each of so many moves of a slider, on a page that is open."""

    def moved_to(share: float) -> None:
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)

    def painted(count: int) -> None:
        page.wait_for_function("(count) => window.latencies.length == count", arg=count, timeout=1000 * PATIENCE)

    page.evaluate(WATCH)
    box = page.locator(SLIDER).bounding_box()
    moved_to(0.5)
    page.mouse.down()  # which moves it, too
    painted(1)
    for number in range(1, moves + 1):
        moved_to(0.1 + 0.8 * (GOLDEN * number % 1))
        painted(number + 1)
    page.mouse.up()
    found: list[float] = page.evaluate("window.latencies")
    return found[1 : moves + 1]


class ExploreBenchmark:
    """Latencies of PAGES. found: {page: milliseconds of each move, for each repeat}."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats
        self.found: dict[str, list[list[float]]] = {name: [] for name in PAGES}

    def measure(self, moves: int = MOVES) -> Iterator[int]:
        """Open a page of each kind anew in each repeat, and move a slider; yield the number of a repeat before it."""
        with chromium() as browser, served("explore") as port:
            self.browser = browser.version
            for number in range(1, self.repeats + 1):
                yield number
                for name, query in PAGES.items():
                    page = browser.new_page(viewport=SIZE)
                    page.goto(f"http://127.0.0.1:{port}/{query}")
                    self.found[name].append(latencies(page, moves))
                    page.close()

    def figures(self) -> dict[str, dict[str, Any]]:
        """{page: {"p50", "p90", "largest": milliseconds of all moves, "spread": of the medians of the repeats}}."""
        found = {}
        for name, repeats in self.found.items():
            medians, together = [statistics.median(one) for one in repeats], sum(repeats, [])
            found[name] = {
                "p50": statistics.median(together),
                "p90": percentile(together, 0.9),
                "largest": max(together),
                "spread": [min(medians), max(medians)],
            }
        return found


def as_json_object(measured: ExploreBenchmark) -> dict[str, Any]:
    """The latencies of each page in milliseconds, the browser and the machine."""
    about = {"repeats": measured.repeats, "moves": MOVES, "unit": "ms", "browser": measured.browser}
    return {**about, "latencies": measured.figures(), "machine": describe_machine()}


def as_table(measured: ExploreBenchmark) -> str:
    """A line for each page: median, 90th percentile and largest of all moves, and the medians of the repeats."""
    rows = [
        (name, *(f"{one[key]:.1f}" for key in ("p50", "p90", "largest")), "{:.1f} to {:.1f}".format(*one["spread"]))
        for name, one in measured.figures().items()
    ]
    about = (
        f"milliseconds from the move of a slider to its picture, {MOVES} moves in each of {measured.repeats} repeats; "
        f"Chromium {measured.browser}, the server on one core"
    )
    return f"{format_table(['page', 'median', '90 %', 'largest', 'medians'], rows, '<>>>>')}\n{about}"
