"""python train.py complexity: its options, its messages, and its two forms of output."""

import inspect
import json

import pytest

import train
from layers.experiments.benchmark.workloads import VOCABULARY
from layers.experiments.complexity import MODELS, TOKENS
from layers.experiments.complexity import run as complexity_run
from layers.experiments.complexity.measure import Measurement


def pretended(model, texts, lengths, setup):
    """Measurements without a process: n seconds for n tokens."""
    for n in lengths:
        yield Measurement(model, texts, n, 7, n, 2 * n, n, 12, 4 * n, 1000 + n, [float(n)], n / 2)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(complexity_run, "square_product_rate", lambda device, clock: 1e9)
    monkeypatch.setattr(complexity_run, "measurements", pretended)


def test_growth_exponents_and_savings_are_printed(run, quick):
    code, out, err = run("complexity", "--lengths", "32,16", "--repeats", "1")
    assert code == 0, err
    for words in ("bert-base", "exponent of", "32 texts of 128 tokens", "less than", "−77.34 %", "measured on cpu:"):
        assert words in out
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[2:4]] == [["interference", "16"], ["interference", "32"]]


def test_only_one_kind_and_some_models(run, quick):
    code, out, _ = run("complexity", "--only", "growth", "--models", "modulation", "--lengths", "16,32")
    assert code == 0 and "exponent of" in out and "less than" not in out and "bert" not in out
    for name in ("savings", "reductions"):  # the latter is the former name
        code, out, _ = run(
            "complexity", "--only", name, "--models", "modulation,bert-base", "--texts", "5", "--length", "9"
        )
        assert code == 0 and "exponent of" not in out and "5 texts of 9 tokens" in out


def test_the_json_holds_everything(run, quick):
    options = "--lengths 16,32 --repeats 2 --budget 9 --tokens words --threads 1 --json"
    code, out, _ = run("complexity", *options.split())
    found = json.loads(out)
    assert code == 0 and len(found["growth"]) == 8 and len(found["batch"]) == 8 and len(found["savings"]) == 4
    chosen = {
        name: found["settings"][name]
        for name in ("device", "budget", "tokens", "threads", "texts", "length", "repeats")
    }
    assert chosen == {
        "device": "cpu",
        "budget": 9.0,
        "tokens": "words",
        "threads": 1,
        "texts": 32,
        "length": 128,
        "repeats": 2,
    }


def test_a_figure_is_drawn(run, quick, tmp_path):
    pytest.importorskip("matplotlib")
    code, out, err = run(
        "complexity", "--lengths", "16,32", "--only", "growth", "--figure", tmp_path / "a.svg", "--json"
    )
    assert code == 0 and json.loads(out) and err == f"drawn: {tmp_path / 'a.svg'}\n"
    assert (tmp_path / "a.svg").read_text().count("<svg") == 1


def test_options_have_the_defaults_of_the_measurements():
    given = {p.name: p for p in train.cli.loaded("complexity").params}
    defaults = inspect.signature(complexity_run.Complexity).parameters
    for name in ("device", "texts", "length", "repeats", "budget", "threads", "tokens"):
        assert given[name].default == defaults[name].default
    assert given["models"].default == ",".join(MODELS) and given["lengths"].default == ",".join(
        map(str, complexity_run.LENGTHS)
    )
    assert list(given["tokens"].type.choices) == list(TOKENS)
    assert list(given["only"].type.choices) == [*complexity_run.KINDS, *complexity_run.OLD_KINDS]
    assert given["length"].type.max == VOCABULARY


@pytest.mark.parametrize("arguments, words", [
    (["--models", "bert"], "--models bert: is none of the models interference,"),
    (["--models", "modulation"], "--models modulation: savings compare a wave network with a Transformer"),
    (["--lengths", "16,,32"], "--lengths : expected whole numbers from 1 to 30,522"),
    (["--figure", "a.gif"], "a.gif: is no name of a picture"),
    (["--figure", "none/a.svg"], "none/a.svg: cannot be written (its folder does not exist)"),
    (["--only", "reductions", "--figure", "a.svg"], "--figure a.svg: draws the growth"),
    (["--device", "cuda"], "--device cuda: "),
])  # fmt: skip
def test_bad_input_is_one_line(run, monkeypatch, arguments, words):
    monkeypatch.setattr("engine.arrays.backend.why_no_cuda", lambda: "there is no driver")
    code, out, err = run("complexity", *arguments)
    assert code == 2 and not out and words in err and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--texts", "0"],
        ["--length", "30523"],
        ["--repeats", "0"],
        ["--budget", "-1"],
        ["--only", "both"],
        ["--tokens", "few"],
    ],
)
def test_wrong_options_are_refused(run, arguments):
    code, out, err = run("complexity", *arguments)
    assert code == 2 and not out and arguments[0] in err
