"""The documents: links lead somewhere, code runs, commands and options exist, lines are short."""

import re
import shlex

import pytest

import train
from engine.gradcheck import check_gradients
from tests.support.paths import ROOT

FOLDERS = ("engine", "layers", "tests")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
)


def read(document):
    return (ROOT / document).read_text(encoding="utf-8")


def prose(text):
    """The text without fenced blocks, formulas and code."""
    return re.sub(r"^```.*?^```$|\$`.*?`\$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text):
    """The anchors that a page of headings offers: lower case, no punctuation, spaces as hyphens."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_documents_are_found():
    assert {"README.md", "layers/README.md", "layers/wave/token2wave.md", "engine/cuda/README.md"} <= set(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    folder = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(read(document))):
        path, _, anchor = target.partition("#")
        if re.match(r"https?://", target):
            continue
        page = folder / path if path else ROOT / document
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_lines_are_short_and_formulas_whole(document):
    """No line over 120 columns outside tables, displayed formulas and what cannot be broken; of a link its words count.
    A formula within a text stays on its line, as GitHub wants it.
    """
    text = re.sub(r"^```math.*?^```$", "", read(document), flags=re.DOTALL | re.MULTILINE)
    for line in text.splitlines():
        assert line.count("$`") == line.count("`$"), line
        cannot_be_broken = line.startswith(("|", "![")) or " " not in re.sub(r"\$`.*?`\$|`[^`]*`|\]\(.*?\)", "", line)
        assert len(re.sub(r"\]\(.*?\)", "]", line)) <= 120 or cannot_be_broken, line


def test_the_readme_is_short():
    lines = read("README.md").splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 120


def run_example(code):
    """The names that the code of an example defines."""
    names = {}
    exec(compile(code, "example", "exec"), names)
    return names


def examples(document):
    """The python blocks of a document."""
    return re.findall(r"```python\n(.*?)```", read(document), re.DOTALL)


def test_the_python_example_runs(capsys):
    (code,) = examples("README.md")
    run_example(code)
    assert "gradient check ok" in capsys.readouterr().out


def test_the_examples_of_the_checker_run(capsys):
    """One after another, as they stand: the second is a test with the fixture."""
    names = {}
    for code in examples("engine/gradcheck/README.md"):
        exec(compile(code, "example", "exec"), names)
    assert "gradient check ok" in capsys.readouterr().out
    checked = []
    names["test_mine"](lambda forward, backward, *inputs: checked.append(check_gradients(forward, backward, inputs).ok))
    assert checked == [True]


@pytest.mark.parametrize("number, library", [(0, "numpy"), (1, "sklearn")])
def test_the_examples_of_models_run(tmp_path, monkeypatch, capsys, number, library):
    pytest.importorskip(library, reason=f"{library} is not installed")
    monkeypatch.chdir(tmp_path)
    code = examples("engine/serving/README.md")[number]
    run_example(code)
    printed = capsys.readouterr().out
    assert "['sport']" in printed and "total" in printed if number == 0 else "'dimension': " in printed
    assert len([line for line in code.splitlines() if line]) <= 12


def test_the_two_commands_stand_first():
    blocks = re.findall(r"```sh\n(.*?)```", read("README.md"), re.DOTALL)
    commands = [re.sub(r" *#.*", "", line) for line in blocks[0].splitlines()]
    assert commands == ["pip install -e . && python train.py", "pip install -e '.[test]' && pytest -n auto"]


def commands_of(document):
    """What follows `python train.py` in the shell examples of a document, a continued line as one."""
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```$", read(document), re.DOTALL | re.MULTILINE))
    return re.findall(r"^(?:python train\.py|wave-network)\b(.*)$", blocks.replace("\\\n", " "), re.MULTILINE)


WITH_COMMANDS = [document for document in DOCUMENTS if commands_of(document)]


def test_documents_show_commands():
    assert {"README.md", "engine/README.md", "layers/experiments/README.md", "engine/cuda/README.md"} <= set(
        WITH_COMMANDS
    )


@pytest.mark.parametrize("document", WITH_COMMANDS)
def test_every_command_shown_is_understood(document):
    """By the parser of the command: it and all its options exist, with such values."""
    for line in commands_of(document):
        words = shlex.split(line.replace("<", "#"), comments=True)
        name = words.pop(0) if words and words[0] in train.cli.commands else "train"
        train.cli.commands[name].make_context(name, words)


def test_every_command_is_shown():
    shown = {line.split()[0] for document in WITH_COMMANDS for line in commands_of(document) if line.split()}
    assert set(train.cli.commands) - {"train", "sweep-job"} <= shown
