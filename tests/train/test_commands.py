"""What each command prints and leaves behind."""

import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli import COLUMN_WIDTH
from engine.commands.options import rounded
from engine.support.files import read_toml
from layers.experiments.gradcheck.suite import CASES, suite_size
from tests.support.paths import ROOT

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")


def weights_of(run_path, which="last"):
    (file,) = (run_path / "checkpoints" / which).glob("weights-*.safetensors")
    return file.read_bytes()


def test_without_a_command_training_runs(tmp_path, arguments, run):
    """The run directory is complete."""
    code, out, _ = run(*arguments, "--output", tmp_path / "new")
    assert code == 0
    assert "test accuracy" in out and "macro F1" in out and "sport" in out
    run_path = tmp_path / "new"
    result = json.loads((run_path / "result.json").read_text())
    assert {
        "test_accuracy", "test_macro_f1", "validation_accuracy", "train_seconds", "tokens_per_second", "parameters",
        "peak_memory_bytes", "seed", "device",
    } <= result.keys()  # fmt: skip
    assert sorted(p.name for p in run_path.iterdir()) == [
        "affixes.json",
        "checkpoints",
        "config.toml",
        "metrics.jsonl",
        "ngrams.safetensors",
        "result.json",
        "tokenizer.json",
    ]
    lines = [json.loads(line) for line in (run_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, result["steps"] + 1))
    assert all(
        {"epoch", "loss", "accuracy", "learning_rate", "gradient_norm", "tokens_per_second"} <= line.keys()
        for line in lines
    )
    assert read_toml(run_path / "config.toml")["network"]["dimension"] == 8
    assert {"-ing", "-its"} <= set(json.loads((run_path / "affixes.json").read_text()))


def test_texts_of_which_words_know_little_are_told_of(tmp_path, run):
    path, letters = tmp_path / "train.tsv", "abcdefghij"
    path.write_text(
        "".join(
            f"{i % 2}\tthe {a}{b} {b}{a}x\n" for i, (a, b) in enumerate((a, b) for a in letters for b in letters[:4])
        )
    )
    told = r"unknown words: \d+\.\d % of the training tokens, \d+\.\d % .*; with tokens=wordpieces they"
    for tokens, expected in (("words", True), ("wordpieces", False)):
        code, out, err = run("--train-file", path, "--epochs", "1", "--tokens", tokens, "--output", tmp_path / tokens)
        assert code == 0 and bool(re.search(told, out + err)) == expected


def test_json_output_is_the_result_file(tmp_path, arguments, run):
    code, out, err = run(*arguments, "--output", tmp_path / "new", "--json")
    assert code == 0
    assert json.loads(out) == rounded(json.loads((tmp_path / "new" / "result.json").read_text()))
    assert "TSV" in err  # what was guessed of the files is told beside it


def test_one_seed_gives_the_same_weights_and_another_does_not(tmp_path, arguments, run):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert run(*arguments, "--seed", seed, "--output", tmp_path / name)[0] == 0
    assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b") != weights_of(tmp_path / "c")


def test_it_learns(tmp_path, arguments, run):
    code, out, _ = run(*arguments, "--epochs", "30", "--learning-rate", "0.01", "--output", tmp_path / "new", "--json")
    assert code == 0
    assert json.loads(out)["test_accuracy"] >= 0.9


def test_settings_come_from_preset_file_set_and_options(tmp_path, files, run):
    """In this order: later ones win."""
    config = tmp_path / "settings.toml"
    config.write_text("dimension = 6\n[training]\nepochs = 1\nbatch_size = 30\n")
    code, _, err = run(
        "--train-file", files["train"], "--config", config, "--set", "batch_size=20", "--set", "hidden=4",
        "--dimension", "5", "--output", tmp_path / "new",
    )  # fmt: skip
    assert code == 0, err
    written = read_toml(tmp_path / "new" / "config.toml")
    assert (written["network"]["dimension"], written["network"]["hidden"]) == (5, 4)
    assert (written["training"]["epochs"], written["training"]["batch_size"]) == (1, 20)


def test_the_config_of_a_run_repeats_it(tmp_path, trained, run):
    assert run("--config", trained / "config.toml", "--output", tmp_path / "again")[0] == 0
    assert weights_of(trained) == weights_of(tmp_path / "again")


def test_a_corpus_takes_the_place_of_the_files_of_a_config(tmp_path, trained, run, monkeypatch):
    asked = []
    start_run = "engine.commands.train.start_run"
    monkeypatch.setattr(start_run, lambda settings, *_, **__: asked.append(settings.data) or {"classes": []})
    run("--config", trained / "config.toml", "--set", "corpus=r52", "--output", tmp_path / "new", "--json")
    run("--config", trained / "config.toml", "--output", tmp_path / "new", "--json")
    (corpus, files) = asked
    assert (corpus.corpus, corpus.train_file, corpus.test_file) == ("r52", "", "") and files.train_file


def test_only_the_test_file_is_read_to_evaluate(trained, files, run):
    files["train"].unlink()
    assert run("evaluate", trained)[0] == 0


def test_evaluate_repeats_the_test_accuracy(trained, files, run):
    result = json.loads((trained / "result.json").read_text())
    for more in ([], ["--test-file", files["test"]]):
        code, out, _ = run("evaluate", trained, "--json", *more)
        assert code == 0
        assert json.loads(out)["accuracy"] == rounded(result["test_accuracy"])
    code, out, _ = run("evaluate", trained)
    assert code == 0
    assert f"accuracy {100 * result['test_accuracy']:.2f} %" in out


def test_predict_keeps_the_order_of_its_texts(trained, run):
    texts = ["goal match team", "", "bank loan dollar", "soup " * 50, "goal match team"]
    code, out, _ = run("predict", trained, *texts)
    assert code == 0
    lines = [line.split("\t") for line in out.splitlines()]
    assert len(lines) == 5 and lines[0] == lines[4]
    for text, line in zip(texts, lines):
        assert run("predict", trained, text)[1].split() == line  # alone, each gets the same answer


def test_several_runs_label_texts_by_mean_probabilities(tmp_path, trained, arguments, files, run, monkeypatch):
    other = tmp_path / "other"
    assert run(*arguments, "--seed", "5", "--vocabulary-size", "60", "--output", other)[0] == 0
    text, each = "ball of bread", []
    for path in (trained, other):
        each.append(json.loads(run("predict", path, text, "--json")[1])["probabilities"])
    both = json.loads(run("predict", trained, text, "--with", other, "--json")[1])
    assert both["probabilities"] == pytest.approx(
        {name: (each[0][name] + each[1][name]) / 2 for name in each[0]}, abs=1e-6
    )
    assert each[0] != each[1] and both["probability"] == pytest.approx(max(both["probabilities"].values()), abs=1e-6)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"bread\nball\n")))
    assert run("predict", trained, "--with", other)[1].count("\n") == 2  # lines are read once, not once for each run
    for more in ([], ["--test-file", files["test"]]):
        code, out, err = run("evaluate", trained, "--with", other, *more)
        assert (code, err) == (0, "") and "accuracy" in out and out.count("15 rows") == 1
    losses = [
        json.loads(run("evaluate", path, *more, "--json")[1])["loss"]
        for path, more in ((trained, []), (other, []), (trained, ["--with", other]))
    ]
    assert len(set(losses)) == 3 and losses[2] < (losses[0] + losses[1]) / 2
    monkeypatch.setattr(sys, "stdin", None)  # a path is looked at before texts are asked for
    code, out, err = run("predict", trained, "--with", tmp_path / "none")
    assert (code, out, err.count("\n")) == (2, "", 1) and str(tmp_path / "none") in err


def predicting(trained, **more):
    """The process `predict` of a run, whose standard input and output are pipes."""
    words = [sys.executable, ROOT / "train.py", "predict", trained]
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    return subprocess.Popen(words, cwd=ROOT, **{**pipes, **more})


def test_predict_answers_a_line_before_it_reads_the_next(trained):
    """And ends with 130 at Ctrl-C, what was answered before it is there."""
    with predicting(trained) as process:
        for text in (b"goal match\n", b"\n", b"bank loan\nsoup\n"):
            process.stdin.write(text)
            process.stdin.flush()
            for _ in range(text.count(b"\n")):
                assert process.stdout.readline().count(b"\t") == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read().strip() == b"stopped by SIGINT at once"


def test_predict_ends_silently_where_nobody_reads(trained):
    with predicting(trained) as process:
        process.stdout.close()
        process.stdin.write(b"goal match\n" * 1000)
        process.stdin.close()
        assert process.wait(60) == 1 and process.stderr.read() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory of a process")
def test_predict_takes_no_more_memory_for_more_lines(tmp_path, trained):
    """Of standard input."""
    peaks = []
    for lines in (20_000, 200_000):
        (tmp_path / "lines").write_text("ball goal bank soup\n" * lines)
        with open(tmp_path / "lines") as file, predicting(trained, stdin=file, stdout=subprocess.PIPE) as process:
            answered = 0
            for _ in process.stdout:
                answered += 1
                if answered == lines - 10_000:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    peaks.append(int(re.search(r"VmHWM:\s+(\d+)", status)[1]))
            assert answered == lines
    assert peaks[1] < 1.1 * peaks[0]


def test_predict_reads_lines_and_prints_json_lines(trained, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("goal match\r\n\nsoup 🍞\n".encode())))
    code, out, _ = run("predict", trained, "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["text"] for line in lines] == ["goal match", "", "soup 🍞"]
    for line in lines:
        assert line["probabilities"][line["label"]] == pytest.approx(line["probability"], abs=1e-5)
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    "text",
    ["", "\0\0", "🎉 ☃ \u200b", "word " * 200_000, "x" * 1_000_000],
    ids=["empty", "NUL", "emoji", "million words", "one word"],
)
def test_predict_copes_with_any_text(trained, run, text):
    code, out, err = run("predict", trained, text)
    assert code == 0, err
    assert out.split("\t")[0] in ("sport", "money", "food")


def test_gradcheck_lists_every_case_and_passes(run, monkeypatch):
    """Of one network and every eighth pair; tests/layers/experiments/gradcheck/test_gradient_suite.py runs them all."""
    networks = [case for case in CASES if case.products]
    some = [networks[0], *[case for case in CASES if not case.products][::8]]
    monkeypatch.setattr("layers.experiments.gradcheck.suite.CASES", some)
    code, out, _ = run("gradcheck", "--examples", "1", "--json")
    report = json.loads(out)
    assert code == 0 and report["ok"]
    assert len(report["checks"]) == suite_size()
    assert {check["method"] for check in report["checks"]} == {
        "complex_step",
        "five_point",
        "richardson",
        "float64_twin",
        "tf32_twin",
        "exact",
    }
    assert {case.name for case in some} < {check["name"] for check in report["checks"]}
    keys = ["name", "method", "dtype", "worst_relative_error", "tolerance", "examples", "ok"]
    assert all(list(check) == keys for check in report["checks"])
    assert all(check["worst_relative_error"] <= check["tolerance"] for check in report["checks"])


@pytest.mark.parametrize(
    "words, names",
    [
        (["E1"], ["E1 global magnitude, dimension", "E1 global magnitude, text", "E1, E4 all-zero dimension"]),
        (["relu", "E12"], ["E12 ReLU", "feed-forward, relu", "E12 ReLU at 0"]),
        (["layer norm of"], ["E10 layer norm of a sum"]),
    ],
)
def test_gradcheck_of_some_names(run, words, names):
    """Whole words in any case; the others are not run."""
    code, out, _ = run("gradcheck", *words, "--examples", "1", "--json")
    assert code == 0 and list(dict.fromkeys(check["name"] for check in json.loads(out)["checks"])) == names


def test_gradcheck_of_an_unknown_name(run):
    code, _, err = run("gradcheck", "E1", "layer nor")
    assert code == 2 and err.count("\n") == 1 and "'layer nor': no check has this in its name" in err
    assert "did you mean 'modulation'?" in run("gradcheck", "modulatoin")[2] and run("gradcheck", "")[0] == 2


def test_gradcheck_has_exit_code_1_when_a_backward_is_wrong(run, monkeypatch):
    from layers.wave import modulation

    monkeypatch.setattr(
        modulation, "times_conjugate", lambda dz, z: type(dz)(dz.re * z.re - dz.im * z.im, dz.im * z.re - dz.re * z.im)
    )
    some = [case for case in CASES if case.name in ("E5 interference", "E6 modulation")]
    monkeypatch.setattr("layers.experiments.gradcheck.suite.CASES", some)
    code, out, _ = run("gradcheck", "--examples", "1")
    assert code == 1
    assert "FAIL: E6 modulation, five_point: " in out
    (failed,) = [line for line in out.splitlines() if line.endswith("FAIL")]
    assert failed.startswith("E6 modulation")


def test_describe_counts_the_parameters_of_the_paper(run):
    code, out, _ = run("describe", "--preset", "paper", "--json")
    assert code == 0
    report = json.loads(out)
    assert 2_365_000 <= report["without_embedding"] < 2_375_000
    assert report["parameters"] - report["without_embedding"] == 30522 * 768
    assert sum(part["parameters"] for part in report["parts"]) == report["parameters"]
    out = run("describe", "--preset", "paper")[1]
    assert "2,371,592" in out and "at most 30,522 wordpieces" in out and "n-grams" not in out and "affixes" not in out
    out = run("describe", "--preset", "recommended", "--set", "char_ngrams=3-5")[1]
    assert "Up to 400,000 n-grams" in out and "affixes of their words come on top" in out
    assert "Up to 100,000 n-grams of 3-5 characters of their words come on top." in out


def test_describe_shows_a_run_and_lists_all_fields(trained, run):
    assert "at most" not in run("describe", trained)[1]
    code, out, _ = run("describe", trained, "--json")
    assert code == 0
    assert json.loads(out)["parameters"] == json.loads((trained / "result.json").read_text())["parameters"]
    code, out, _ = run("describe", "--fields", "--json")
    names = [row["field"] for row in json.loads(out)]
    assert {"dimension", "learning_rate", "max_tokens", "seed"} <= set(names)
    assert len(names) == len(set(names))
    out = run("describe", "--fields", "--dimension", "7")[1]
    assert "dimension=7 " in out and all(f"  {name}=" in out for name in names)
    assert max(map(len, out.splitlines())) <= COLUMN_WIDTH


TRANSFORMER = ["--model", "transformer", "--set", "heads=2", "--set", "positions=300"]


def test_a_transformer_is_handled_as_a_wave_network_is(tmp_path, files, arguments, run):
    """It is trained, evaluated, shown, resumed and traced."""
    own = [a for a in arguments if a not in ("--set", "token_dropout=0.1", "hidden=8")] + ["--set", "hidden=8"]
    code, out, err = run(*TRANSFORMER, *own, "--output", tmp_path / "run")
    assert code == 0 and "test accuracy" in out, err
    config = (tmp_path / "run" / "config.toml").read_text()
    assert 'model = "transformer"' in config and "heads = 2" in config
    assert "accuracy" in run("evaluate", tmp_path / "run")[1]
    assert run("predict", tmp_path / "run", "ball goal")[1].count("\t") == 1
    assert "Transformer: blocks 1, heads 2" in run("describe", tmp_path / "run")[1]
    (tmp_path / "run" / "result.json").unlink()
    assert run("--resume", tmp_path / "run")[0] == 0
    code, out, err = run("trace", tmp_path / "run", "ball goal")
    assert code == 0 and err == "" and "E18  attended values" in out and "WRONG" not in out


@pytest.mark.parametrize("given, words", [
    (["--preset", "quick", "--model", "transformer"], ["--preset quick", "model wave", "transformer"]),
    (["--preset", "bert-base", "--model", "wave"], ["--preset bert-base", "model transformer"]),
    (["--model", "transformer", "--operation", "modulation"], ["operation", "model wave"]),
    (["--preset", "transformer-1", "--set", "readout=real"], ["readout", "model wave"]),
    (["--model", "transformer", "--set", "max_tokens=600"], ["max_tokens", "512", "600"]),
    (["--model", "transformer", "--set", "ngrams=2"], ["ngrams", "expected 1", "places"]),
    (["--model", "transformer", "--set", "affixes=true"], ["affixes", "expected false", "places"]),
    (["--model", "transformer", "--set", "char_ngrams=3-5"], ["char_ngrams", "expected none", "places"]),
    (["--set", "char_ngrams=5-3"], ["char_ngrams", "from 1 to 12", "'5-3'"]),
    (["--set", "model=tree"], ["model", "tree"]),
])  # fmt: skip
def test_fields_of_the_other_model_are_refused(given, words, run):
    for command in ([], ["describe"]):
        code, out, err = run(*command, *given)
        assert code == 2 and out == "" and err.count("\n") == 1 and all(word in err for word in words), err


def test_a_config_file_chooses_its_models_own_preset(tmp_path, run):
    (tmp_path / "own.toml").write_text('model = "transformer"\nblocks = 0\ndimension = 24\n')
    code, out, _ = run("describe", "--config", tmp_path / "own.toml")
    assert code == 0 and out.startswith("Transformer: blocks 0, heads 12")


@pytest.mark.parametrize(
    "command", [[], ["train"], ["evaluate"], ["predict"], ["gradcheck"], ["describe"], ["accuracy"], ["sweep"]]
)
def test_help_fits_a_screen(command, run):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert len(out.splitlines()) <= 60


def test_version(run):
    assert run("--version")[1].startswith("wave-network, version ")
