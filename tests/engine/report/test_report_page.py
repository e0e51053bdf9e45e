"""The page of a report: as its golden files say, well-formed, self-contained, and hostile texts stay text."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[plots]'")
pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install -e '.[plots]'")

from engine.report.confusion_matrix import MOST_CLASSES
from engine.report.curve_pictures import best_groups, draw_rates
from engine.report.errors import MISTAKES, Unmeasured, measured
from engine.report.figures import DISTINCT
from engine.report.html import readable
from engine.report.page import (
    CLASSES_SHOWN,
    MISTAKES_SHOWN,
    page_html,
    require_page,
    shared_settings,
    texts_messages,
    unfinished_message,
    unfinished_messages,
    write_page,
)
from engine.report.run_section import BEGINNING, changed_message, classes_rows, halves, matrix_caption, run_section
from engine.report.runs import differences, grouped
from engine.report.summary import Report, as_json_object, as_table, facts_of, figures_of, percent, worst_class
from engine.support.errors import UserError
from engine.training.evaluation import ClassRow
from tests.support.pages import assert_golden, check_page, leave_out_drawing, without_pictures, words_of

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


@pytest.fixture
def few_figures(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_several_runs_are_shown_as_before(several, tmp_path, few_settings):
    """On the page, and on the terminal."""
    assert_golden(GOLDEN / "several.html", without_pictures(page_html(several)).replace(str(tmp_path), "RUNS"))
    assert_golden(GOLDEN / "several.txt", as_table(several) + "\n")


def test_a_single_run_is_shown_as_before(make_run, read, few_settings, monkeypatch):
    """Without test texts, without mistakes, and with another accuracy than at the end of its training."""
    leave_out_drawing(monkeypatch, "curve_pictures")
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
    shown = [
        *HOSTILE,
        "a<b>&",
        "<script>x<",
        "/<script>/'x'.csv",
        "</td><script>&\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}long",
        "Because of <this>.",
    ]
    assert all(part in words for part in shown) and "\0" not in text and "<script" not in text


@pytest.mark.parametrize("gone, messages", [(0, 0), (2, 2), (5, 1)])
def test_texts_of_several_runs_that_are_gone_are_told_of(make_run, read, gone, messages):
    """In a line each, or in one for many; an unfinished run has none that could be gone."""
    runs = read(*(make_run(f"r{number}", steps=2, finished=number < 6) for number in range(7)))
    found = [
        Unmeasured("Gone.") if number < gone or number == 6 else measured_of("ab", 20)  # as in the fixture's result
        for number in range(7)
    ]
    told = texts_messages(report_of(runs, found))
    assert len(told) == messages and (messages != 2 or told == ["r0: Gone.", "r1: Gone."])
    assert messages != 1 or told[0].startswith("The texts of 5 of 7 runs are gone")


def test_an_unfinished_run_may_end_before_its_epochs(make_run, read):
    """With a step budget the number of its epochs is not known."""
    (run,) = read(make_run(steps=6, epochs=3, finished=False, step_budget=900))
    assert "at step 6, in epoch 3." in unfinished_message(run)
    assert facts_of(run, Unmeasured(""))["best epoch"] == "unfinished, 3"


@pytest.mark.parametrize(
    "rows, worst",
    [
        ([("a", 5, 0.5), ("b", 5, 0.2), ("c", 5, 0.9)], "b"),
        ([("a", 5, 0.2), ("b", 9, 0.2)], "b"),
        ([("a", 0, 0.0), ("b", 5, 0.7)], "b"),
        ([("a", 0, 0.0)], None),
        ([], None),
    ],
)
def test_the_worst_class_has_texts_and_the_lowest_f1(rows, worst):
    found = worst_class([ClassRow(name, texts, 0.5, 0.5, f1) for name, texts, f1 in rows])
    assert (found and found.name) == worst


def test_figures_of_runs_whose_texts_are_gone(make_run, read):
    """They are those of the end of the training; an unfinished run has none."""
    finished, unfinished = read(make_run("a"), make_run("b", finished=False))
    known = figures_of(finished, Unmeasured("Gone."))
    assert (
        known == ("test", 0.8, 0.7, ClassRow("a", 10, 0.5, 0.25, 1 / 3), None)
        and figures_of(unfinished, Unmeasured("")) is None
    )
    validated = finished._replace(result=finished.result | {"test_accuracy": None})
    assert figures_of(validated, Unmeasured("")) == ("validation", 0.9, None, None, None)
    measured_now = measured_of("ab", 20, right=0.5)
    assert figures_of(finished, measured_now)[:3] == ("test", measured_now.accuracy, measured_now.macro_f1)


@pytest.mark.parametrize(
    "names, count, right, changed",
    [
        ("ab", 20, 0.8, ""),
        ("ab", 20, 0.7, "the accuracy was 80.00 %: the texts, the program or the device are not the same any more."),
        ("ab", 40, 0.8, "there were 20 test texts: they have changed since."),
        ("aaab", 20, 0.8, "the accuracy was 80.00 %: the texts, the program"),
    ],
    ids=["same", "other accuracy", "other number of texts", "other labels"],
)
def test_texts_that_have_changed_since_are_noticed(make_run, read, names, count, right, changed):
    (run,) = read(make_run())  # 20 test texts, 80 % right
    message = changed_message(run.result, measured_of(names, count, right=right))
    assert changed in message and bool(changed) == bool(message)


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


def test_of_too_many_groups_the_best_are_drawn(make_run, read):
    """By validation accuracy, in their order."""
    runs = read(*(make_run(f"r{number}", steps=2, dimension=number, seed=number) for number in range(1, 20)))
    groups = grouped(runs)
    drawn = best_groups(groups)
    last = [group.runs[0].curves["validation"][-1]["accuracy"] for group in groups]
    kept = sorted(sorted(range(19), key=lambda number: last[number])[3:])
    assert drawn == [groups[number] for number in kept] and len(drawn) == DISTINCT
    assert best_groups(groups[:3]) == groups[:3]


HEADINGS_IN_ORDER = [
    "Confusions",
    "Texts labelled wrong",
    "Classes by F1",
    "Calibration",
    "Loss and accuracy",
    "Learning rate and gradient",
    "Run and settings",
]


def test_a_page_begins_with_figures_and_errors(make_run, read, few_figures):
    """Curves and settings come last."""
    (run,) = read(make_run(classes="abc"))
    root = check_page(page_html(report_of([run], [measured_of("abc", 30, right=0.9)])))
    assert [heading.text for heading in root.iter("h2")] == HEADINGS_IN_ORDER
    main = list(root.iterfind("body/main/*"))
    assert main[1].get("class") == "figures"
    shown = [[part.text for part in card] for card in main[1]]
    # Of 30 texts the last 3 are wrong, one of each class: 9 of 10, with one of another class taken for each.
    assert shown == [
        ["90.00\N{NO-BREAK SPACE}%", "test accuracy"],
        ["90.00\N{NO-BREAK SPACE}%", "macro F1", "the mean over the classes"],
        ["90.00\N{NO-BREAK SPACE}%", "F1 of the worst class", "class a"],
    ]


@pytest.mark.parametrize("classes, folded", [(2, 0), (CLASSES_SHOWN + 2, 0), (23, 13), (151, 141)])
def test_of_many_classes_and_texts_most_are_folded(make_run, read, few_figures, classes, folded):
    """No row and no text is missing, and what is worst stands first."""
    (run,) = read(make_run())
    names = [f"class {number}" for number in range(classes)]
    found = measured_of(names, 4 * classes, right=0.5)
    root = check_page(page_html(report_of([run], [found])))
    folds = {fold.find("summary").text: fold for fold in root.iter("details") if fold.get("class") == "fold"}
    more = len(found.mistakes) - MISTAKES_SHOWN
    names_of_folds = [f"{more} more"] * (more > 0) + [f"the other {folded}"] * (folded > 0)
    assert list(folds) == names_of_folds
    assert len(root.findall(".//ul[@class='wrong']/li")) == len(found.mistakes) == min(MISTAKES, 2 * classes)
    rows = [row for table in root.iterfind(".//table[@class='rows narrow']") for row in table.iterfind("tbody/tr")]
    assert sorted(row[0].text for row in rows) == sorted(names)
    scores = [float(row[4].text.rstrip(" %")) for row in rows]
    assert scores == sorted(scores) and scores[0] == pytest.approx(100 * min(one.f1 for one in found.classes), abs=0.01)


def test_classes_stand_by_their_f1():
    """The lowest first, of equal ones the largest; those without texts, whose F1 means nothing, last."""
    rows = [("a", 5, 0.9), ("b", 0, 0.0), ("c", 5, 0.2), ("d", 9, 0.2), ("e", 5, 0.5)]
    shown = classes_rows([ClassRow(name, texts, 0.25, 0.75, f1) for name, texts, f1 in rows])
    assert [row[0] for row in shown] == ["d", "c", "e", "a", "b"]
    assert shown[0] == ["d", "9", "25.00 %", "75.00 %", "20.00 %"]


def test_a_text_labelled_wrong_is_shown_whole(make_run, read, few_figures):
    """A long one is folded after its beginning, between two words."""
    (run,) = read(make_run())
    found = measured_of("ab", 40)
    page = check_page(page_html(report_of([run], [found])))
    for item, one in zip(page.iterfind(".//ul[@class='wrong']/li"), found.mistakes):
        summary = item.find("details/summary")
        assert f"{summary.text}{summary.tail}" == readable(one.text) and len(summary.text) <= BEGINNING
        assert [b.text for b in item.iter("b")] == [one.true, one.predicted]
        assert item.find("span/span").text == percent(one.probability)


@pytest.mark.parametrize(
    "length, rest", [(BEGINNING, 0), (int(1.25 * BEGINNING), 0), (1.5 * BEGINNING, 0.5 * BEGINNING)]
)
def test_only_long_texts_are_cut(length, rest):
    text = "x" * int(length)
    assert list(map(len, halves(text))) == [length - rest, rest] and "".join(halves(text)) == text


def test_several_runs_in_one_page_stay_short(make_run, read, few_figures):
    """A row each in one table, which leads to what is folded."""
    count = 12
    runs = read(*(make_run(f"r{number}", steps=4, seed=number, finished=number < 8) for number in range(count)))
    found = [measured_of("abc") if run.result else Unmeasured("Not yet.") for run in runs]
    root = check_page(page_html(report_of(runs, found)))
    visible = sum(len(words_of(part)) for part in root.iterfind("body/main/*") if part.tag != "details")
    assert visible < 9000 and not root.findall("body/main/section[@id]")
    links = [link.get("href") for link in root.iterfind(".//table//a")]
    assert links == [f"#run{number}" for number in range(1, count + 1)]
    assert [fold.find("section").get("id") for fold in root.iterfind(".//details[@class='fold run']")] == [
        link[1:] for link in links
    ]
    (message,) = unfinished_messages(runs)
    assert message.startswith("4 of 12 runs have not finished: r8, r9, r10 and others.") and message in words_of(root)
