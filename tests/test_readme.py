"""The documents: links lead somewhere, code runs, commands and options exist, lines are short."""

import re

import click
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
    assert {"README.md", "layers/README.md", "layers/wave/token2wave.md", "layers/fast/kernels.md"} <= set(DOCUMENTS)


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
    """No line over 200 columns outside tables; a formula within a text stays on its line, as GitHub wants it."""
    for number, line in enumerate(read(document).splitlines(), start=1):
        assert len(line) <= 200 or line.startswith("|"), (document, number)
        assert line.count("$`") == line.count("`$"), (document, number)


def test_the_python_example_runs(capsys):
    code, fixture = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "gradient check ok" in capsys.readouterr().out
    exec(compile(fixture, "README.md", "exec"), names)  # uses the functions of the example above
    checked = []
    names.update(x=names["rng"].standard_normal((5, 3)), weight=names["rng"].standard_normal((3, 2)))
    names["test_mine"](lambda forward, backward, *inputs: checked.append(check_gradients(forward, backward, inputs).ok))
    assert checked == [True]


def test_the_two_commands_stand_first():
    blocks = re.findall(r"```sh\n(.*?)```", read("README.md"), re.DOTALL)
    commands = [re.sub(r" *#.*", "", line) for line in blocks[0].splitlines()]
    assert commands == ["pip install -e . && python train.py", "pip install -e '.[test]' && pytest -n auto"]


def test_every_command_and_option_shown_exists():
    text = read("README.md")
    lines = [line.split("#")[0] for line in re.findall(r"^(?:python train\.py|wave-network)\b(.*)$", text, re.M)]
    assert len(lines) > 5
    for line in lines:
        words = line.split()
        name = words[0] if words and words[0] in train.cli.commands else "train"
        known = {flag for p in train.cli.commands[name].params if isinstance(p, click.Option) for flag in p.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
