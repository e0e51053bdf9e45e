"""The page of a report: as its golden files say, well-formed, self-contained, and hostile texts stay text."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[plots]'")
pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install -e '.[plots]'")

from engine.report.confusion import MOST_CLASSES, Unmeasured, measured
from engine.report.page import (
    changed_message,
    draw_rates,
    matrix_caption,
    page_html,
    require_page,
    run_section,
    shared_settings,
    unfinished_message,
    write_page,
)
from engine.report.runs import differences, grouped
from engine.report.summary import Report, as_json_object, as_table, facts_of, make_report
from engine.support.errors import UserError
from layers.networks import CONFIGS, build_network
from tests.support.pages import assert_golden, check_page, without_pictures, words_of

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = ["<script>alert('a')</script>", 'b" onload="x', "&amp; ]]> --> <style>"]


def report_of(runs, found):
    return Report(runs, found, grouped(runs), differences(runs))


def measured_of(names, count=40, split="test", right=0.8):
    """Measured of `count` texts, of which the share `right` is labelled right."""
    labels = np.arange(count) % len(names)
    predicted = np.where(np.arange(count) < right * count, labels, (labels + 1) % len(names))
    texts = [f"text {row} </td><script>&\0\x1b" + "long " * 60 for row in range(count)]
    return measured(split, names, texts, labels, predicted, np.linspace(0.3, 1, count))


@pytest.fixture
def several(make_run, read):
    """A report of two seeds, and of a run that has not finished."""
    runs = read(make_run("first"), make_run("second", seed=1), make_run("third", finished=False, dimension=4))
    return report_of(runs, [measured_of(["a", "b"], 20), measured_of(["a", "b", "c"], 20), Unmeasured("Not yet.")])


@pytest.fixture
def few_settings(monkeypatch):
    """Pages show only these settings: a new one does not change the golden files."""
    settings = {"data": {"corpus": "r8"}, "training": {"epochs": 2, "warmup": 0.05, "lazy": True}}
    monkeypatch.setattr("engine.report.page.shared_settings", lambda report: settings)


def test_several_runs_are_shown_as_before(several, tmp_path, few_settings):
    """On the page, and on the terminal."""
    assert_golden(GOLDEN / "several.html", without_pictures(page_html(several)).replace(str(tmp_path), "RUNS"))
    assert_golden(GOLDEN / "several.txt", as_table(several) + "\n")


def test_a_single_run_is_shown_as_before(make_run, read, few_settings, monkeypatch):
    """Without test texts, without mistakes, and with another accuracy than at the end of its training."""
    for name in ("learning_svg", "rates_svg"):  # drawing takes long
        monkeypatch.setattr(f"engine.report.page.{name}", lambda groups: '<svg xmlns="http://www.w3.org/2000/svg"/>')
    (run,) = read(make_run("only", dimension=24))
    page = page_html(report_of([run], [measured_of(["a", "b"], split="validation", right=1)]))
    assert_golden(GOLDEN / "single.html", without_pictures(page))


def test_all_settings_are_shown_once(several):
    """Of a single run all; of several those that differ in a table, the others as shared."""
    sections = several.runs[0].settings.sections()
    assert shared_settings(report_of(several.runs[:1], several.measured[:1])) == sections
    assert set(several.differing) == {"dimension", "seed"}
    del sections["network"]["dimension"], sections["training"]["seed"]
    assert shared_settings(several) == sections


def test_json_tells_the_same_as_the_page(several):
    told = as_json_object(several, "page.html")
    assert told["page"] == "page.html" and [run["name"] for run in told["runs"]] == ["first", "second", "third"]
    assert told["runs"][0]["measured"]["confusion"] == [[8, 2], [2, 8]] and told["runs"][2]["measured"] is None
    assert told["runs"][0]["measured"]["largest_confusions"][0] == {"true": "a", "predicted": "b", "texts": 2, "of": 10}
    assert [group["runs"] for group in told["groups"]] == [["first", "second"], ["third"]]
    assert told["differing_settings"]["seed"] == ["0", "1", "0"] and json.dumps(told, allow_nan=False)


def test_hostile_labels_texts_and_paths_stay_text(make_run, read):
    runs = read(
        make_run("a<b>&", classes=HOSTILE),
        make_run("<script>x<", dimension=16),
        make_run("d", train_file="/<script>/'x'.csv", finished=False),
    )
    found = [measured_of(HOSTILE), measured_of(["x", "y"]), Unmeasured("Because of <this>.")]
    text = page_html(report_of(runs, found))
    words = words_of(check_page(text))
    shown = [*HOSTILE, "a<b>&", "<script>x<", "/<script>/'x'.csv", "</td><script>&␀␛long", "Because of <this>."]
    assert all(part in words for part in shown) and "\0" not in text and "<script" not in text


def test_an_unfinished_run_may_end_before_its_epochs(make_run, read):
    """With a step budget the number of its epochs is not known."""
    (run,) = read(make_run(steps=6, epochs=3, finished=False, step_budget=900))
    assert "at step 6, in epoch 3." in unfinished_message(run)
    assert facts_of(run, Unmeasured(""))["best epoch"] == "unfinished, 3"


@pytest.mark.parametrize(
    "count, right, changed",
    [(20, 0.8, False), (20, 0.7, True), (40, 0.8, True)],
    ids=["same", "other accuracy", "other number of texts"],
)
def test_texts_that_have_changed_since_are_noticed(make_run, read, count, right, changed):
    (run,) = read(make_run())  # 20 test texts, 80 % right
    message = changed_message(run.result, measured_of(["a", "b"], count, right=right))
    assert message.startswith("At the end of the training the accuracy was 80.00 %: the texts,") == changed
    assert bool(message) == changed


def test_many_classes_are_all_listed(make_run, read):
    """The matrix merges some of them."""
    (run,) = read(make_run())
    found = measured_of([f"c{row}" for row in range(MOST_CLASSES + 9)], 400)
    assert f"the {MOST_CLASSES - 1} of {MOST_CLASSES + 9} classes" in matrix_caption(found)
    assert len(run_section("run1", run, found).classes) == MOST_CLASSES + 9


def test_learning_rates_and_norms_are_those_of_metrics(make_run, read):
    runs = read(make_run("a"), make_run("b", operation="interference", learning_rate=0.5))
    left, right = draw_rates(grouped(runs)).axes
    for line, run in zip(left.get_lines(), runs):
        pairs = zip(run.curves["step"], run.curves["learning_rate"])
        assert line.get_xydata().tolist() == [list(pair) for pair in pairs]
    norms = sorted(norm for run in runs for norm in run.curves["gradient_norm"])
    assert sorted(y for _, y in right.collections[0].get_offsets().tolist()) == pytest.approx(norms)
    assert right.get_yscale() == "log" and [text.get_text() for text in right.texts] == ["clipped above 1"]
    unclipped = read(make_run("c", clip_norm=0.0), make_run("d", clip_norm=2.0))
    assert not draw_rates(grouped(unclipped)).axes[1].texts


@pytest.mark.parametrize(
    "name, words",
    [
        ("report.pdf", "let it end in .html"),
        ("", "let it end in .html"),
        ("none/report.html", "its folder does not exist"),
        ("folder.html", "it is a folder"),
    ],
)
def test_impossible_pages_are_refused_before_the_work(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UserError, match=f"^--output .*{words}"):
        require_page(name)


@pytest.mark.parametrize("module", ["matplotlib", "jinja2"])
def test_a_missing_module_is_named_before_the_work(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"report.html: {module} .*pip install -e '.\[plots\]'"):
        require_page(tmp_path / "report.html")


def test_a_page_that_cannot_be_written_leaves_the_old_one(make_run, read, tmp_path, monkeypatch):
    runs = read(make_run())
    (tmp_path / "report.html").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.support.files.os.replace", full)
    monkeypatch.setattr("engine.report.page.page_html", lambda report: "new")
    with pytest.raises(UserError, match="report.html: cannot be written .No space left on device."):
        write_page(tmp_path / "report.html", report_of(runs, [Unmeasured("No.")]))
    assert (tmp_path / "report.html").read_text() == "old" and not list(tmp_path.glob(".*.tmp"))


def test_more_lines_than_looks_are_refused(make_run):
    paths = [make_run(f"r{number}", steps=2, dimension=number) for number in range(1, 18)]
    with pytest.raises(UserError, match="^report: draws at most 16 lines .*would give 17; name fewer"):
        make_report(paths, CONFIGS, build_network)
