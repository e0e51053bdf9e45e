"""The application: the page of a state, and the same as one file without script."""

from functools import cache
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from engine.report.html import mathml_converter, render
from engine.web.application import application, in_threads
from layers.experiments.explore.circles import CIRCLE, PLOT
from layers.experiments.explore.source import Source
from layers.experiments.explore.state import BREAKS, LEARNERS, MOST_STEPS, State, state_of
from layers.experiments.explore.view import View, view_of
from layers.networks.configs import BLOCK_FORMS
from layers.standard.position_encoding import POSITION_ENCODINGS
from layers.wave import OPERATIONS, READOUTS, SCOPES

HERE = Path(__file__).parent
TEMPLATE = HERE / "templates" / "explore.html"
COMPUTATIONS = 4  # at a time
TITLE = "See a gradient move"
EXAMPLES = ("profits rose in the third", "not good , not bad", "to be or not", "rates fell")
CHOICES = [
    (name, label, [(value, value) for value in values])
    for name, label, values in (
        ("operation", "operation", OPERATIONS),
        ("readout", "readout", READOUTS),
        ("scope", "magnitude per", SCOPES),
        ("positions", "positions", POSITION_ENCODINGS),
        ("block", "block", BLOCK_FORMS),
    )
]


def make_application(source: Source, names: Any = ()) -> Starlette:
    """The application for a source of networks. names: further hosts by whose names it is reached."""

    computing = in_threads(COMPUTATIONS)

    @computing
    def show(request: Request) -> Response:
        view = view_of(source, state_in(request.query_params))
        return HTMLResponse(page_of(view, snapshot=False), headers={"X-State": f"/?{view.state.query()}"})

    @computing
    def export(request: Request) -> Response:
        return HTMLResponse(page_of(view_of(source, state_in(request.query_params)), snapshot=True))

    files = {"explore.css": HERE / "templates" / "explore.css", "explore.js": HERE / "static" / "explore.js"}
    return application([Route("/", show), Route("/export", export)], files, names)


def state_in(query: QueryParams) -> State:
    """The state of a request. Raises UserError for what is not allowed."""
    return state_of(query.multi_items())


def page_of(view: View, snapshot: bool) -> str:
    """The page as text. snapshot: as one file without script."""
    return render(
        TEMPLATE,
        layout="base.html" if snapshot else "served.html",
        title=TITLE,
        view=view,
        snapshot=snapshot,
        examples=EXAMPLES,
        choices=CHOICES,
        learners=[(name, name) for name in LEARNERS],
        breaks=list(BREAKS.items()),
        broken_text=BREAKS[view.state.broken],
        classes=class_options,
        most_steps=MOST_STEPS,
        circle_canvas=CIRCLE,
        plot_canvas=PLOT,
        mathml=converter(),
    )


def class_options(view: View) -> list[tuple[str, str]]:
    """Classes to choose from; the first is the usual one."""
    return [("", "usual"), *((name, name) for name in view.classes)]


@cache
def converter() -> Any:
    """LaTeX → MathML, each formula once."""
    return cache(mathml_converter("explore", "explore"))
