"""The page of a report is well-formed, loads nothing, shows hostile texts as they are, and holds every number."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[plots]'")

from engine.report.confusion import MOST_CLASSES, Unmeasured, measured
from engine.report.page import draw_rates, page_html, require_page, run_html, unfinished_words, write_page
from engine.report.runs import differences, grouped
from engine.report.summary import Report, as_json_object, as_table, facts_of, make_report
from engine.support.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = ["<script>alert('a')</script>", 'b" onload="x', "&amp; ]]> --> <style>"]


def report_of(runs, found):
    return Report(runs, found, grouped(runs), differences(runs))


def measured_of(names, count=40, split="test", right=0.8):
    rng = np.random.default_rng(len(names))
    labels = np.arange(count) % len(names)
    predicted = np.where(np.arange(count) < right * count, labels, (labels + 1) % len(names))
    texts = [f"text {row} </td><script>&\0\x1b" + "long " * 60 for row in range(count)]
    return measured(split, names, texts, labels, predicted, rng.uniform(0.3, 1, count))


def parsed(report):
    text = page_html(report)
    assert text.startswith("<!DOCTYPE html>")
    return text, ElementTree.fromstring(text)


def everything(element):
    return "".join(element.itertext())


def test_the_page_is_well_formed_self_contained_and_escapes_everything(make_run, read):
    runs = read(
        make_run("a<b>&", classes=HOSTILE),
        make_run("c", dimension=16),
        make_run("d", train_file="/<i>/'x'.csv", finished=False),
    )
    text, root = parsed(
        report_of(runs, [measured_of(HOSTILE), measured_of(["x", "y"]), Unmeasured("Because of <this>.")])
    )
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert not tags & {"script", "link", "iframe", "object", "i", "b"} and not re.search(
        r"\son\w+=", re.sub(r">[^<]*<", "><", text)
    )
    assert len(list(root.iter("style"))) == 1 and "@import" not in text
    addresses = [
        value
        for element in root.iter()
        for key, value in element.attrib.items()
        if key.rpartition("}")[2] in ("href", "src")
    ]
    assert addresses and all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)\)", text))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    used = re.findall(r'href="#([^"]*)"', text) + re.findall(r"url\(#([^)]*)\)", text)
    assert len(ids) == len(set(ids)) and set(used) <= set(ids)
    words = everything(root)
    assert (
        all(name in words for name in HOSTILE)
        and "text 35 </td><script>&␀␛long" in words
        and "Because of <this>." in words
    )
    assert "\0" not in text and "/<i>/'x'.csv" in words and "a<b>&" in words


def test_every_run_has_its_matrix_its_classes_and_its_mistakes(make_run, read):
    runs = read(make_run("first"), make_run("second", seed=1))
    found = [measured_of(["a", "b"]), measured_of(["a", "b", "c"])]
    _, root = parsed(report_of(runs, found))
    for number, one in enumerate(found, start=1):
        section = root.find(f".//section[@id='run{number}']")
        assert everything(section.find("h2")) == f"What {('first', 'second')[number - 1]} takes for what"
        assert section.find(f".//{SVG}svg").get("aria-label") == "Confusion matrix of the test texts"
        tables = section.findall(".//table")
        rows = [[everything(cell) for cell in row] for row in tables[0].findall("./tbody/tr")]
        assert rows == [
            [r.name, str(r.texts), *(f"{100 * x:.2f} %" for x in (r.precision, r.recall, r.f1))] for r in one.classes
        ]
        shown = [[everything(cell) for cell in row] for row in tables[1].findall("./tbody/tr")]
        assert [row[:3] for row in shown] == [
            [m.true, m.predicted, f"{100 * m.probability:.2f} %"] for m in one.mistakes
        ]
        assert all(len(row[3]) == 160 and row[3].endswith("…") for row in shown)
    items = [everything(item) for item in root.findall(".//section[@id='run1']//li")]
    assert items == ["a → b: 4 of 20", "b → a: 4 of 20"]
    assert [everything(heading) for heading in root.iter("h2")][:3] == [
        "Seeds",
        "Settings that differ",
        "Loss and accuracy",
    ]
    assert "80.50 ± 0.71 %" in everything(root)  # of 80 % and 81 %


def test_a_single_run_shows_its_facts_and_all_its_settings(make_run, read):
    (run,) = read(make_run("only", dimension=24))
    _, root = parsed(report_of([run], [measured_of(["a", "b"])]))
    terms, texts = ([everything(element) for element in root.iter(tag)] for tag in ("dt", "dd"))
    facts = dict(zip(terms, texts))
    assert facts == facts_of(run, measured_of(["a", "b"]))
    assert (facts["training texts"], facts["parameters"], facts["test accuracy"]) == ("1,234", "98,765", "80.00 %")
    assert (facts["tokens per second"], facts["best epoch"]) == ("123,457", "1 of 2")
    assert (facts["network"], facts["dimension"], facts["training time"], facts["peak memory"]) == (
        "modulation",
        "24",
        "12.5 s",
        "1 MiB",
    )
    sections = [everything(section.find("h3")) for section in root.iterfind(".//div[@class='settings']/section")]
    assert sections == ["data", "network", "training"] and "dimension24" in everything(root)


def test_what_is_not_known_is_said(make_run, read):
    unfinished, untested = read(make_run("begun", steps=6, epochs=3, finished=False), make_run("untested"))
    _, root = parsed(
        report_of([unfinished, untested], [Unmeasured("No."), measured_of(["a", "b"], split="validation", right=0.9)])
    )
    words = everything(root)
    assert (
        "begun has not finished: its curves end at step 6, in epoch 3 of 3." in words
        and f"--resume {unfinished.path}" in words
    )
    (budgeted,) = read(make_run("budgeted", steps=6, epochs=3, finished=False, step_budget=900))
    assert (
        "at step 6, in epoch 3." in unfinished_words(budgeted)
        and facts_of(budgeted, Unmeasured(""))["best epoch"] == "unfinished, 3"
    )
    assert "was trained without test texts" in words and facts_of(unfinished, Unmeasured(""))["test accuracy"] == "–"
    pictures = [
        [svg.get("aria-label") for svg in root.findall(f".//section[@id='run{number}']//{SVG}svg")] for number in (1, 2)
    ]
    assert pictures == [[], ["Confusion matrix of the validation texts"]]


@pytest.mark.parametrize(
    "count, right, changed",
    [(20, 0.8, False), (20, 0.7, True), (40, 0.8, True)],
    ids=["same", "other accuracy", "other number of texts"],
)
def test_texts_that_are_not_the_same_any_more_are_noticed(make_run, read, count, right, changed):
    (run,) = read(make_run())  # 20 test texts, 80 % right
    words = run_html(1, run, measured_of(["a", "b"], count, right=right))
    told = "At the end of the training the accuracy was 80.00 %: the texts, the program or the device are not the same any more."
    assert (told in words) == changed


def test_a_run_without_mistakes_and_one_of_many_classes(make_run, read):
    (run,) = read(make_run())
    words = run_html(1, run, measured_of(["a", "b"], right=1))
    assert "All test texts are labelled right." in words and "most certainty" not in words
    many = [f"c{row}" for row in range(MOST_CLASSES + 9)]
    root = ElementTree.fromstring(run_html(1, run, measured_of(many, 400)))
    assert f"the {MOST_CLASSES - 1} of {MOST_CLASSES + 9} classes" in everything(root)
    assert len(root.findall(".//table[@class='readings narrow']/tbody/tr")) == MOST_CLASSES + 9


def test_learning_rates_and_norms_are_those_of_metrics(make_run, read):
    runs = read(make_run("a"), make_run("b", operation="interference", learning_rate=0.5))
    left, right = draw_rates(grouped(runs)).axes
    for line, run in zip(left.get_lines(), runs):
        assert line.get_xydata().tolist() == [
            list(pair) for pair in zip(run.curves["step"], run.curves["learning_rate"])
        ]
    norms = [run.curves["gradient_norm"] for run in runs]
    assert sorted(y for _, y in right.collections[0].get_offsets().tolist()) == pytest.approx(
        sorted(norms[0] + norms[1])
    )
    assert right.get_yscale() == "log" and [text.get_text() for text in right.texts] == ["clipped above 1"]
    unclipped = read(make_run("c", clip_norm=0.0), make_run("d", clip_norm=2.0))
    assert not draw_rates(grouped(unclipped)).axes[1].texts


def test_the_terminal_and_json_tell_the_same(make_run, read):
    runs = read(make_run("first"), make_run("second", seed=1), make_run("third", finished=False, dimension=4))
    found = [measured_of(["a", "b"]), measured_of(["a", "b"]), Unmeasured("Not yet.")]
    report = report_of(runs, found)
    table = as_table(report)
    assert "80.00 %" in table and "unfinished, 2 of 2" in table and "80.50 ± 0.71 %" in table
    told = as_json_object(report, "page.html")
    assert told["page"] == "page.html" and [run["name"] for run in told["runs"]] == ["first", "second", "third"]
    assert told["runs"][0]["measured"]["confusion"] == [[16, 4], [4, 16]] and told["runs"][2]["measured"] is None
    assert told["runs"][0]["measured"]["largest_confusions"][0] == {"true": "a", "predicted": "b", "texts": 4, "of": 20}
    assert [group["runs"] for group in told["groups"]] == [["first", "second"], ["third"]] and told[
        "differing_settings"
    ]["seed"] == ["0", "1", "0"]


@pytest.mark.parametrize(
    "name, words",
    [
        ("report.pdf", "let it end in .html"),
        ("", "let it end in .html"),
        ("none/report.html", "its folder does not exist"),
        ("folder.html", "it is a folder"),
    ],
)
def test_what_cannot_become_a_page_is_refused_before_the_work(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UserError, match=f"^--output .*{words}"):
        require_page(name)


def test_a_page_that_cannot_be_written_leaves_the_old_one(make_run, read, tmp_path, monkeypatch):
    runs = read(make_run())
    (tmp_path / "report.html").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.support.files.os.replace", full)
    with pytest.raises(UserError, match="report.html: cannot be written .No space left on device."):
        write_page(tmp_path / "report.html", report_of(runs, [Unmeasured("No.")]))
    assert (tmp_path / "report.html").read_text() == "old" and not list(tmp_path.glob(".*.tmp"))


def test_more_lines_than_looks_are_refused(make_run):
    paths = [make_run(f"r{number}", steps=2, dimension=number) for number in range(1, 18)]
    from layers.networks import CONFIGS, build_network

    with pytest.raises(UserError, match="^report: draws at most 16 lines .*would give 17; name fewer"):
        make_report(paths, CONFIGS, build_network)
