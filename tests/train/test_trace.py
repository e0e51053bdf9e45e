"""`python train.py trace`: what it prints, what it refuses, and how it fails."""

import json
import types
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from engine.training.trained_run import open_run
from layers.networks import CONFIGS, Transformer, TransformerConfig, WaveNetwork, WaveNetworkConfig, build_network
from layers.standard import attention, tanh

TEXT = "profits rose in the third quarter"
SHORT = "profits rose"  # where many values would only take time
TRANSFORMER = ["--model", "transformer"]


def refused(outcome, *words):
    """Assert that an (exit code, stdout, stderr) is a one-line error which holds all these words."""
    code, _, err = outcome
    (line,) = err.strip().splitlines()
    assert code == 2 and line.startswith("error: ")
    for word in words:
        assert str(word) in line, (word, line)


@pytest.fixture
def wrong_modulation(monkeypatch):
    from layers.wave import modulation

    monkeypatch.setattr(
        modulation, "times_conjugate", lambda dz, z: type(dz)(dz.re * z.re - dz.im * z.im, dz.im * z.re - dz.re * z.im)
    )


@pytest.fixture
def trained_transformer(tmp_path, arguments, run):
    """The path of a finished run of a Transformer."""
    own = [a for a in arguments if a not in ("--set", "token_dropout=0.1", "hidden=8")]
    own += [a for name in ("hidden=8", "heads=2", "positions=20", "max_tokens=20") for a in ("--set", name)]
    code, _, err = run(*TRANSFORMER, *own, "--output", tmp_path / "transformer")
    assert code == 0, err
    return tmp_path / "transformer"


@pytest.fixture(params=["attention", "tanh"])
def wrong_transformer(request, monkeypatch):
    """The name of a stage whose backward is spoiled: attention forgets D, tanh takes y for its slope."""
    if request.param == "attention":
        forgetful = types.SimpleNamespace(**vars(np))
        forgetful.einsum = lambda *arguments: 0 * np.einsum(*arguments)
        monkeypatch.setattr(attention, "array_module", lambda *_: forgetful)
    else:
        kept = tanh.Cache
        monkeypatch.setattr(tanh, "Cache", lambda slope: kept(np.sqrt(1 - slope)))
    return request.param


def test_a_random_network_shows_every_value_and_parameter(run):
    code, out, err = run("trace", TEXT)
    assert code == 0 and err == ""
    assert "[CLS] profits rose in the third quarter" in out and "random network, seed 0: d = 4" in out
    for title in (
        "embedding rows",
        "first variant",
        "first wave magnitude G",
        "first wave phase α",
        "second wave im",
        "combined wave re",
        "loss",
    ):
        assert f" {title}" in out
    for equation in ("E1 ", "E2 ", "E4 ", "E6 ", "E7 ", "E8 ", "E9 ", "E10", "E11", "E14", "E15"):
        assert any(line.startswith(equation) for line in out.splitlines())
    assert out.count(" ok\n") == 38 and "38 of 38 gradients match" in out
    code, out, _ = run("trace", TEXT, "--json")
    report = json.loads(out, parse_constant=pytest.fail)
    network = WaveNetwork(WaveNetworkConfig(dimension=4, hidden=5), 7, 3)
    names = {row["name"] for row in report["backward"]}
    assert code == 0 and report["ok"] and set(network.parameters()) <= names
    assert {row["name"] for row in report["forward"] if row["kind"] == "intermediate"} == names - set(
        network.parameters()
    )
    assert all(row["verdict"] == "ok" and row["difference"] < 1e-9 for row in report["backward"])
    expected = -np.log(report["probabilities"]["0"])
    assert report["label"] == "0" and report["loss"] == pytest.approx(expected, rel=1e-5), "six digits each"


def test_a_random_transformer_shows_every_value_and_parameter(run):
    code, out, err = run("trace", TEXT, *TRANSFORMER)
    assert code == 0 and err == "" and "random network, seed 0: Transformer, d = 4, 1 block, 2 heads" in out
    for title in (
        "embedding rows", "position embeddings", "tokens + positions", "queries q", "keys k", "values v",
        "attended values", "output map", "output + input", "pooled vector", "pooler", "activated pooler", "logits",
        "loss",
    ):  # fmt: skip
        assert f" {title} " in out
    for equation in ("E8 ", "E9 ", "E10", "E11", "E14", "E15", "E18", "E19"):
        assert any(line.startswith(equation) for line in out.splitlines())
    assert max(map(len, out.splitlines())) <= 116
    code, out, _ = run("trace", TEXT, *TRANSFORMER, "--json", "--values", "1")
    report = json.loads(out, parse_constant=pytest.fail)
    parameters = set(Transformer(TransformerConfig(dimension=4, heads=2, hidden=5, positions=7), 7, 3).parameters())
    names = {row["name"] for row in report["backward"]}
    assert code == 0 and report["ok"] and parameters <= names
    assert {row["name"] for row in report["forward"]} == names - parameters
    assert all(row["verdict"] == "ok" or row["name"] == "blocks.0.key.bias" for row in report["backward"])
    assert all(row["difference"] < 1e-9 for row in report["backward"])
    assert (
        report["network"] == {"model": "transformer", "dimension": 4, "heads": 2, "blocks": 1}
        and report["phasors"] == {}
    )


def test_a_run_of_a_transformer_is_traced_with_its_best_weights(trained_transformer, run):
    text = "goal match team"
    report = json.loads(run("trace", trained_transformer, text, "--json", "--values", "1")[1])
    predicted = json.loads(run("predict", trained_transformer, "--json", text)[1])
    assert report["ok"] and report["label"] == predicted["label"] and report["network"]["heads"] == 2
    assert report["probabilities"] == pytest.approx(predicted["probabilities"], abs=1e-5)
    opened = open_run(trained_transformer, CONFIGS, build_network)
    assert set(opened.network.parameters()) <= {row["name"] for row in report["backward"]}
    code, _, err = run("trace", trained_transformer, "soup " * 100_000)
    assert code == 0, err
    refused(
        run("trace", trained_transformer, TEXT, "--dimension-shown", "1"),
        trained_transformer,
        "no waves",
        "--dimension-shown",
    )
    refused(run("trace", trained_transformer, TEXT, *TRANSFORMER), "--model", "own settings")


def test_options_of_the_random_network(run):
    reports = [
        json.loads(run("trace", SHORT, "--json", *more)[1])
        for more in (
            [],
            ["--operation", "interference"],
            ["--readout", "magnitude"],
            ["--seed", "1"],
            ["--label", "2"],
            ["--dimension-shown", "3", "--values", "7"],
        )
    ]
    assert [r["network"]["operation"] for r in reports[:2]] == ["modulation", "interference"]
    assert reports[2]["network"]["readout"] == "magnitude" and reports[4]["label"] == "2"
    assert len({r["loss"] for r in reports[:5]}) == 5 and reports[5]["loss"] == reports[0]["loss"]
    assert reports[5]["phasors"]["dimension"] == 3
    assert len(reports[5]["forward"][0]["values"]) == 7


def test_a_run_is_traced_with_its_best_weights(trained, run):
    text = "goal match team"
    code, out, _ = run("trace", trained, text, "--json")
    report = json.loads(out)
    predicted = json.loads(run("predict", trained, "--json", text)[1])
    assert code == 0 and report["label"] == predicted["label"] and report["tokens"][0] == "[CLS]"
    assert report["probabilities"] == pytest.approx(predicted["probabilities"], abs=1e-5)
    opened = open_run(trained, CONFIGS, build_network)
    assert set(opened.network.parameters()) <= {row["name"] for row in report["backward"]}
    assert all(row["verdict"] in ("ok", "kink", "rounding") for row in report["backward"])
    other = next(name for name in report["probabilities"] if name != report["label"])
    assert json.loads(run("trace", trained, text, "--json", "--label", other)[1])["loss"] > report["loss"]


def test_a_wrong_backward_is_shown_at_its_stage_with_exit_code_1(run, wrong_modulation):
    code, out, _ = run("trace", SHORT, "--json")
    report = json.loads(out)
    order = [row["name"] for row in report["backward"]]
    wrong = [row["name"] for row in report["backward"] if row["verdict"] == "WRONG"]
    assert code == 1 and not report["ok"]
    assert {
        "blocks.0.first_wave.re",
        "blocks.0.second_wave.re",
        "embedding",
        "embedding.table",
        "blocks.0.first_variant.weight",
    } <= set(wrong)
    assert all(order.index(name) > order.index("blocks.0.combined.im") for name in wrong)
    code, out, _ = run("trace", SHORT)
    assert code == 1 and "WRONG" in out and "E6 modulation (combined wave)" in " ".join(out.split())
    assert run("trace", SHORT, "--operation", "interference")[0] == 0


def test_a_wrong_backward_of_a_transformer_is_shown_at_its_stage(run, wrong_transformer):
    code, out, _ = run("trace", TEXT, *TRANSFORMER)
    expected = {
        "attention": ("E18 attention (attended values)", "keys k"),
        "tanh": ("E19 hyperbolic tangent (activated pooler)", "pooler"),
    }
    stage, first = expected[wrong_transformer]
    wrong = [line.split("  ")[0] for line in out.splitlines() if line.endswith("WRONG")]
    assert code == 1 and stage in " ".join(out.split()) and wrong[0] == first
    assert ("values v" in wrong) == (wrong_transformer == "tanh") and "embedding table in use" in wrong


@pytest.mark.parametrize(
    "text",
    ["", "\0\0", "🎉 ☃ \u200b", "word " * 200_000, "x" * 1_000_000],
    ids=["empty", "NUL", "emoji", "million words", "one word"],
)
def test_any_text(run, text):
    code, out, err = run("trace", text)
    assert code == 0, err
    assert "\0" not in out and max(map(len, out.splitlines())) <= 115


def test_any_text_of_a_run(trained, run):
    for text in ("", "\0 🎉", "soup " * 100_000):
        code, out, err = run("trace", trained, text)
        assert code == 0, err


def test_the_page(tmp_path, trained, run):
    pytest.importorskip("latex2mathml", reason="the page needs latex2mathml (extra plots)")
    code, out, _ = run("trace", 'a <b> & "c" \0 🎉', "--html", tmp_path / "a.html")
    assert code == 0 and f"page written to {tmp_path / 'a.html'}" in out
    root = ElementTree.parse(tmp_path / "a.html").getroot()
    assert [s.text for s in root.find(".//dd[@class='tokens']")] == [
        "[CLS]",
        "a",
        "<",
        "b",
        ">",
        "&",
        '"',
        "c",
        '"',
        "\ufffd",
        "🎉",
    ]
    assert len(list(root.iterfind(".//svg"))) == 3 and root.find(".//{*}math") is not None
    code, out, err = run("trace", trained, "goal match", "--html", tmp_path / "b.html", "--json")
    assert code == 0 and json.loads(out)["ok"] and "page written" in err
    assert ElementTree.parse(tmp_path / "b.html").getroot().tag == "html"


def test_the_page_of_a_transformer(tmp_path, run):
    pytest.importorskip("latex2mathml", reason="the page needs latex2mathml (extra plots)")
    code, out, _ = run("trace", "a <b> & a", *TRANSFORMER, "--values", "1", "--html", tmp_path / "a.html")
    root = ElementTree.parse(tmp_path / "a.html").getroot()
    words = " ".join(" ".join(root.itertext()).split())
    assert code == 0 and root.find(".//h1").text == "A text through a Transformer and back" and "phasor" not in words
    assert [s.text for s in root.find(".//dd[@class='tokens']")] == ["[CLS]", "a", "<", "b", ">", "&", "a"]
    assert not list(root.iterfind(".//svg")) and "what is shown is rounding" in words
    numbers = {s.find("header/h3").text: s.find("header/span").text for s in root.iterfind(".//section")}
    assert numbers["attention → attended values"] == "E18" and numbers["hyperbolic tangent → activated pooler"] == "E19"
    assert len(numbers) == 21 and all(s.find(".//{*}math") is not None for s in root.iterfind(".//section"))


def test_the_page_of_a_wrong_backward_says_so(tmp_path, run, wrong_modulation):
    pytest.importorskip("latex2mathml", reason="the page needs latex2mathml (extra plots)")
    assert run("trace", SHORT, "--html", tmp_path / "a.html")[0] == 1
    root = ElementTree.parse(tmp_path / "a.html").getroot()
    bad = [section.find("header/h3").text for section in root.iterfind(".//section[@class='stage WRONG']")]
    assert "token2wave → first wave" in bad and "modulation → combined wave" not in bad


def test_bad_input(tmp_path, trained, run):
    refused(run("trace", tmp_path / "absent", "text"), "absent", "not a run directory")
    refused(run("trace", TEXT, "--label", "sport"), "sport", "0, 1, 2")
    refused(run("trace", trained, TEXT, "--label", "weather"), "weather", "food, money, sport")
    refused(run("trace", TEXT, "--dimension-shown", "4"), "4", "0 to 3")
    refused(run("trace", trained, TEXT, "--dimension-shown", "8"), "8", "0 to 7")
    refused(run("trace", trained, TEXT, "--operation", "modulation", "--seed", "1"), "--operation", "--seed")
    refused(run("trace", "b\udcffll"), "UTF-8")
    for option in (["--operation", "modulation"], ["--readout", "both"], ["--dimension-shown", "0"]):
        refused(run("trace", TEXT, *TRANSFORMER, *option), "--model transformer", "no waves", option[0])
    refused(run("trace", trained, TEXT, "--model", "wave"), "--model", "own settings")


def test_a_page_that_cannot_be_written(tmp_path, run, monkeypatch):
    pytest.importorskip("latex2mathml", reason="the page needs latex2mathml (extra plots)")
    outcome = run("trace", TEXT, "--html", tmp_path / "absent" / "a.html")
    refused(outcome, "--html", "a.html: cannot be written (its folder does not exist)")
    assert outcome[1] == "", "it is said before the work"
    refused(run("trace", TEXT, "--html", ""), "--html", "it is a folder")


def test_a_page_without_latex2mathml(tmp_path, run, monkeypatch):
    pytest.importorskip("jinja2")
    monkeypatch.setitem(__import__("sys").modules, "latex2mathml.converter", None)
    outcome = run("trace", TEXT, "--html", tmp_path / "a.html")
    refused(outcome, "latex2mathml", "pip install -e '.[plots]'")
    assert outcome[1] == "" and not (tmp_path / "a.html").exists()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["a", "b", "c"],
        *([TEXT, *o] for o in (["--operation", "sum"], ["--model", "cnn"], ["--values", "0"], ["--seed", "-1"])),
    ],
)
def test_usage_errors(run, options):
    code, _, err = run("trace", *options)
    assert code == 2 and err.startswith("Usage: ") and "Traceback" not in err and len(err.strip().splitlines()) <= 4


def test_help_fits_a_screen(run):
    code, out, _ = run("trace", "--help")
    assert code == 0 and len(out.splitlines()) <= 50
