"""python train.py benchmark: its options, its messages, and its two forms of output."""

import importlib.util
import json
import time

import pytest

from engine.data.texts import Corpus, LabelledTexts
from engine.support.errors import UserError
from layers.experiments.benchmark import cpu, workloads
from layers.experiments.benchmark.processes import seconds_to_first_step

TEXTS = LabelledTexts(["profits rose", "oil fell again", "the bank cut its rate", "rates rose"] * 10, ["a", "b"] * 20)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(workloads, "load_corpus", lambda name, cache_dir: Corpus(name, TEXTS, test=TEXTS))
    monkeypatch.setattr(workloads, "VOCABULARY", 200)
    monkeypatch.setattr(cpu, "BATCHES", (1, 4))
    monkeypatch.setattr(cpu, "BATCH_LENGTH", 4)


def test_the_chosen_figures_are_printed_as_a_table(run, small):
    code, out, err = run("benchmark", "--only", "train_d128,batch_exponent", "--no-peer", "--repeats", "1")
    assert code == 0, err
    assert out.splitlines()[0].split()[:2] == ["measured", "unit"]
    assert "train_d128" in out and "batch_exponent" in out and "predict" not in out


def test_the_json_holds_machine_and_results(run, small):
    code, out, _ = run("benchmark", "--only", "train_d128", "--no-peer", "--repeats", "1", "--json")
    found = json.loads(out)
    assert code == 0 and found["results"][0]["name"] == "train_d128" and found["machine"]["cores"] >= 1
    assert found["settings"] == {"corpus": "r8", "repeats": 1, "threads": 0}


@pytest.mark.skipif(
    not importlib.util.find_spec("matplotlib"), reason="matplotlib is not installed: pip install -e '.[plots]'"
)
def test_a_figure_is_drawn(run, small, tmp_path):
    code, out, _ = run(
        "benchmark", "--only", "batch_exponent", "--no-peer", "--repeats", "1", "--figure", tmp_path / "time.svg"
    )
    assert code == 0 and "drawn:" in out and (tmp_path / "time.svg").read_text().count("<svg") == 1


def test_the_first_step_is_waited_for_in_a_process_of_its_own(arguments, tmp_path):
    started = time.perf_counter()
    seconds = seconds_to_first_step(*arguments, "--cache-dir", str(tmp_path))
    assert 0 < seconds < time.perf_counter() - started
    assert {path.suffix for path in (tmp_path / "tokens").iterdir()} == {".json", ".safetensors"}


def test_a_first_step_that_never_comes_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="measuring the first step failed: .*missing.tsv"):
        seconds_to_first_step("--train-file", str(tmp_path / "missing.tsv"))


@pytest.mark.parametrize("arguments, words", [
    (["--only", "train_d999"], "--only train_d999: is none of the figures train_d768,"),
    (["--figure", "time.gif"], "time.gif: is no name of a picture"),
    (["--figure", "none/time.svg"], "none/time.svg: cannot be written (its folder does not exist); choose a file in a "
     "folder that you may write to"),
    (["--corpus", "r9"], "corpus 'r9' is unknown"),
])  # fmt: skip
def test_bad_input_is_one_line(run, arguments, words):
    code, out, err = run("benchmark", *arguments)
    assert code == 2 and not out and words in err and err.startswith("error: ") and err.count("\n") == 1
