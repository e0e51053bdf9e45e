"""The web application that labels texts with trained runs: POST /predict, a page to try it, GET /health."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine import __version__
from engine.report.html import readable
from engine.serving.answers import WantedSets, records, usual_answers
from engine.serving.batcher import Batcher, Busy
from engine.training.prediction import Predictor
from engine.types import Floats1d, Floats2d
from engine.web.answers import form_body, json_body, page
from engine.web.application import application
from engine.web.guard import Limits

PAGE = Path(__file__).parent / "templates" / "serve.html"
PART = PAGE.with_name("prediction.html")
SHOWN = 10  # classes on the page
NAME_CHARACTERS = 60
RETRY_SECONDS = 1
EXAMPLE = "profits rose in the third quarter"


class Row(NamedTuple):
    """A class on the page: whether it is a label of the text, and its probability as a number and in percent."""

    name: str
    is_label: bool
    probability: str
    percent: str


class Service:
    """Handlers of requests. names: of the runs; most: texts of a request."""

    def __init__(self, predictor: Predictor, batcher: Batcher, names: Sequence[str], most: int) -> None:
        self.predictor, self.batcher, self.names, self.most = predictor, batcher, list(names), most
        self.wanted = usual_answers(predictor)

    async def predict(self, request: Request) -> Response:
        """{"texts": […]} → {"predictions": […]}, one of records() for each text."""
        texts = self.texts_in(await json_body(request))
        found = await self.probabilities(texts)
        return JSONResponse({"predictions": records(found, self.predictor.classes, self.wanted)})

    async def show(self, request: Request) -> Response:
        """The page with an empty form."""
        return self.whole_page(request, "", [])

    async def try_out(self, request: Request) -> Response:
        """The page with the label of the text in its form; for htmx that part alone."""
        text = (await form_body(request)).get("text", "")
        rows = self.rows((await self.probabilities([text]))[0]) if text.strip() else []
        if "hx-request" in request.headers:
            return page(PART, **self.values_of_part(rows))
        return self.whole_page(request, text, rows)

    async def health(self, request: Request) -> Response:
        """The runs that are served, and how many texts they have labelled."""
        return JSONResponse(
            {
                "status": "ok",
                "version": __version__,
                "runs": self.names,
                "classes": len(self.predictor.classes),
                "texts_answered": self.batcher.answered,
                "texts_waiting": self.batcher.waiting,
            }
        )

    def texts_in(self, body: Any) -> list[str]:
        """The texts of a request. HTTPException 400 that says what is wrong with them, 413 for too many."""
        if not isinstance(body, Mapping) or not isinstance(texts := body.get("texts"), list):
            raise HTTPException(400, f'the body must be {{"texts": ["{EXAMPLE}", …]}}')
        if unknown := [str(name) for name in body if name != "texts"]:
            raise HTTPException(
                400, f'{readable(unknown[0], NAME_CHARACTERS)}: is no field; the body has "texts" alone'
            )
        if len(texts) > self.most:
            raise HTTPException(413, f"texts: has {len(texts):,} of them; send at most {self.most:,} at a time")
        for number, text in enumerate(texts, start=1):
            if not isinstance(text, str):
                raise HTTPException(400, f"texts: number {number} is no string")
        return texts

    async def probabilities(self, texts: list[str]) -> Floats2d:
        """(N, C) of N texts. HTTPException 503 where too many wait."""
        try:
            return await self.batcher.probabilities(texts)
        except Busy:
            message = f"{self.batcher.waiting:,} texts wait already; try again in a second"
            raise HTTPException(503, message, {"Retry-After": str(RETRY_SECONDS)}) from None

    def rows(self, probabilities: Floats1d) -> list[Row]:
        """The labels of a text, and the most probable classes. probabilities: (C,)."""
        classes, matrix = self.predictor.classes, probabilities[None]
        if isinstance(self.wanted, WantedSets):
            labels = self.wanted.chosen(probabilities)
        else:
            labels = [classes.index(self.wanted.cells(matrix, classes)[0][0])]
        ordered = [*labels, *(c for c in (-probabilities).argsort(kind="stable").tolist() if c not in labels)]
        return [
            Row(
                readable(classes[c], NAME_CHARACTERS),
                c in labels,
                f"{probabilities[c]:.4f}",
                f"{100 * probabilities[c]:.2f}",
            )
            for c in ordered[: max(SHOWN, len(labels))]
        ]

    def values_of_part(self, rows: list[Row]) -> dict[str, Any]:
        return {"rows": rows, "more": len(self.predictor.classes) - len(rows)}

    def whole_page(self, request: Request, text: str, rows: list[Row]) -> Response:
        count = len(self.predictor.classes)
        return page(
            PAGE,
            title="Label a text",
            names=[readable(name, NAME_CHARACTERS) for name in self.names],
            classes=[readable(name, NAME_CHARACTERS) for name in self.predictor.classes],
            count=count,
            text=text,
            example=EXAMPLE,
            url=f"http://{request.headers['host']}/predict",
            **self.values_of_part(rows),
        )


def serving_application(
    predictor: Predictor,
    batcher: Batcher,
    runs: Sequence[str],
    most: int,
    limits: Limits,
    names: Collection[str] = (),
) -> Starlette:
    """The application of a Predictor, whose probabilities the Batcher computes. runs: their names; names: as in Guard.

    most: texts of a request.
    """
    service = Service(predictor, batcher, runs, most)
    routes = [
        Route("/", service.show),
        Route("/", service.try_out, methods=["POST"]),
        Route("/predict", service.predict, methods=["POST"]),
        Route("/health", service.health),
    ]
    return application(routes, names=names, limits=limits)
