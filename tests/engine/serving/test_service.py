"""Texts are labelled on request as `predict` labels them, and what is wrong with a request is said in one line."""

import html
import importlib.util
import json
import re

import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette is not installed: pip install -e '.[explore]'")

from starlette.testclient import TestClient

from engine.data.label_sets import joined_names
from engine.data.texts import Corpus, LabelledTexts
from engine.serving.batcher import Batcher
from engine.serving.export import save_run
from engine.serving.service import serving_application
from engine.training.prediction import Predictor
from engine.training.trained_run import open_run
from engine.web.guard import Limits
from layers import TextModel, make_settings
from layers.networks import CONFIGS, build_network
from layers.networks.onnx_graph import save_onnx

MARKUP = "<b>money</b>"  # the name of a class
WORDS = {"sport": "ball goal team match", MARKUP: "bank rate loan dollar", "food": "bread salt soup fruit"}
SMALL = {"dimension": 8, "hidden": 8, "epochs": 4, "batch_size": 8, "learning_rate": 0.02, "step_budget": 0}
HOSTILE = ["", " ", "\0", "\ud800 lone", "<script>alert(1)</script>", "x" * 10_000, "政治 🎉", "a\nb"]


def trained(folder, seed, several=False):
    """The folder of an exported model of WORDS, of which a text may have several labels or has one."""
    rng = np.random.default_rng(seed)
    sets = [[name for name in WORDS if rng.random() < 0.5] if several else [rng.choice(list(WORDS))] for _ in range(80)]
    texts = [
        " ".join(["the", *(word for name in names for word in rng.choice(WORDS[name].split(), 3))]) for names in sets
    ]
    labels = [joined_names(names) for names in sets] if several else [names[0] for names in sets]
    settings = make_settings("quick", seed=seed, labels="several" if several else "one", **SMALL)
    TextModel.build(Corpus("mine", LabelledTexts(texts, labels)), settings).train(True).save(folder, "float16")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{kind: folders of runs}"""
    folder = tmp_path_factory.mktemp("runs")
    one, other, several = (trained(folder / f"<i>{n}", n, several) for n, several in enumerate((False, False, True)))
    found = {"one": [one], "two": [one, other], "several": [several]}
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        save_run(open_run(one, CONFIGS, build_network), folder / "<i>onnx", save_onnx)
        found["onnx"] = [folder / "<i>onnx"]
    return found


@pytest.fixture(params=["one", "two", "several", "onnx"])
def served(request, folders):
    """(client, predictor) of one run, of two together, of one that gives several labels, and of an ONNX graph."""
    if request.param not in folders:
        pytest.skip("onnx is not installed: pip install -e '.[onnx]'")
    with opened(folders[request.param]) as (client, predictor):
        yield client, predictor


@pytest.fixture
def client(folders):
    with opened(folders["one"]) as (client, _):
        yield client


class opened:
    """A context of (client, predictor) for some runs."""

    def __init__(self, paths, **limits):
        self.predictor = Predictor(paths, CONFIGS, build_network)
        self.batcher = Batcher(self.predictor.probabilities, limits.pop("waiting", 100))
        names = [path.name for path in paths]
        self.app = serving_application(self.predictor, self.batcher, names, 50, Limits(2**16, 20))

    def __enter__(self):
        self.predictor.__enter__()
        self.batcher.__enter__()
        self.client = TestClient(self.app, "http://127.0.0.1:8000").__enter__()
        return self.client, self.predictor

    def __exit__(self, *_):
        self.client.__exit__()
        self.batcher.__exit__()
        self.predictor.__exit__()


def test_predictions_are_those_of_the_predictor(served):
    """Labels and probabilities, of odd texts too; several runs by their mean."""
    client, predictor = served
    texts = ["ball and goal", "bank loan", "soup", *HOSTILE]
    answer = client.post("/predict", content=json.dumps({"texts": texts}), headers={"content-type": "application/json"})
    assert answer.status_code == 200
    found, expected = answer.json()["predictions"], predictor.probabilities(texts)
    assert len(found) == len(texts)
    for one, row in zip(found, expected):
        assert list(one["probabilities"]) == predictor.classes
        np.testing.assert_allclose(list(one["probabilities"].values()), row, atol=1e-6)
        if predictor.thresholds is None:
            best = int(row.argmax())
            assert one["label"] == predictor.classes[best] and one["probability"] == pytest.approx(row[best], abs=1e-6)
        else:
            assert set(one["labels"]) == {predictor.classes[c] for c in np.flatnonzero(row >= predictor.thresholds)}


def test_no_texts_have_no_predictions(served):
    assert served[0].post("/predict", json={"texts": []}).json() == {"predictions": []}


@pytest.mark.parametrize("body, status, words", [
    ([], 400, 'the body must be {"texts": ['),
    ({}, 400, 'the body must be {"texts": ['),
    ({"texts": "a"}, 400, 'the body must be {"texts": ['),
    ({"texts": {"a": 1}}, 400, 'the body must be {"texts": ['),
    ({"texts": ["a", 1]}, 400, "texts: number 2 is no string"),
    ({"texts": [None]}, 400, "texts: number 1 is no string"),
    ({"texts": [["a"]]}, 400, "texts: number 1 is no string"),
    ({"texts": ["a"], "\x1b[2J": 1}, 400, '\ufffd[2J: is no field; the body has "texts" alone'),
    ({"texts": ["a"] * 51}, 413, "texts: has 51 of them; send at most 50 at a time"),
    ({"texts": ["a" * 2**16]}, 413, "the body is larger than 65,536 bytes"),
])  # fmt: skip
def test_what_is_wrong_with_a_request_is_one_line(client, body, status, words):
    answer = client.post("/predict", json=body)
    assert answer.status_code == status and list(answer.json()) == ["error"]
    assert words in answer.json()["error"] and "\n" not in answer.json()["error"]
    assert client.post("/predict", json={"texts": ["ball"]}).status_code == 200


def test_too_many_texts_that_wait_are_turned_away(folders):
    with opened(folders["one"], waiting=3) as (client, _):
        answer = client.post("/predict", json={"texts": ["a"] * 4})
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert answer.json()["error"] == "0 texts wait already; try again in a second"
        assert client.post("/predict", json={"texts": ["a"] * 3}).status_code == 200


def test_health_tells_what_is_served(served):
    client, predictor = served
    client.post("/predict", json={"texts": ["a", "b"]})
    health = client.get("/health").json()
    assert health["status"] == "ok" and health["classes"] == len(predictor.classes)
    assert len(health["runs"]) == len(predictor.runs) and health["texts_answered"] == 2 and health["texts_waiting"] == 0


def test_the_page_labels_a_text_without_a_script(served):
    """The bars show the probabilities, and names of classes and runs stay text."""
    client, predictor = served
    text = "bank loan </textarea><script>"
    empty, filled = client.get("/"), client.post("/", data={"text": text})
    assert empty.status_code == filled.status_code == 200 and "<rect" not in empty.text
    row = predictor.probabilities([text])[0]
    for name, p in zip(predictor.classes, row):
        assert f"{html.escape(name)}</th><td>{p:.4f}</td>" in filled.text
    assert f'width="{100 * row.max():.2f}%"' in filled.text
    assert html.escape(text) in filled.text and "&lt;i&gt;" in empty.text
    for page in (empty.text, filled.text):
        assert "<b>money" not in page and "<i>" not in page and page.count("<script") == 2
        assert not re.search(r"\bon\w+=|style=|javascript:|https?://(?!127\.0\.0\.1:8000/)", page)


def test_htmx_gets_the_part_that_changes(served):
    client, _ = served
    whole, part = (client.post("/", data={"text": "soup"}, headers=headers) for headers in ({}, {"hx-request": "true"}))
    assert part.text.startswith('<p class="verdict">') and part.text.strip() in whole.text
    assert client.post("/", data={"text": "  "}, headers={"hx-request": "true"}).text.strip() == ""


def test_the_labels_on_the_page_are_those_of_predict(served):
    client, predictor = served
    for text in ("ball goal", "bank", "zzz"):
        (one,) = client.post("/predict", json={"texts": [text]}).json()["predictions"]
        names = one["labels"] if predictor.thresholds is not None else [one["label"]]
        shown = client.post("/", data={"text": text}, headers={"hx-request": "true"}).text
        assert (f"Label: <b>{', '.join(map(html.escape, names))}</b>" if names else "No label") in shown
        assert shown.count('<tr class="label">') == len(names)


def test_of_many_classes_the_most_probable_are_shown(client, monkeypatch):
    monkeypatch.setattr("engine.serving.service.SHOWN", 2)
    page = client.post("/", data={"text": "soup"}).text
    assert page.count("<rect") == 2 and "and 1 less probable classes" in page
