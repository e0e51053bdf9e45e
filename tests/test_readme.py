"""What the documents show works: their links lead somewhere, their code runs, their options exist."""

import re

import click
import pytest

import train
from engine.gradcheck import check_gradients
from tests.support.paths import ROOT

DOCUMENTS = ["README.md", "layers/README.md"]


def headings(text):
    """The anchors that a page of headings offers: lower case, no punctuation, spaces as hyphens."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith("http")]
    assert targets
    for target in targets:
        path, _, anchor = target.partition("#")
        page = (ROOT / document).parent / path if path else ROOT / document
        assert page.exists(), target
        if anchor:
            assert anchor in headings(page.read_text(encoding="utf-8")), target


def test_the_python_example_runs(capsys):
    code, fixture = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "gradient check ok" in capsys.readouterr().out
    exec(compile(fixture, "README.md", "exec"), names)  # uses the functions of the example above
    checked = []
    names.update(x=names["rng"].standard_normal((5, 3)), weight=names["rng"].standard_normal((3, 2)))
    names["test_mine"](lambda forward, backward, *inputs: checked.append(check_gradients(forward, backward, inputs).ok))
    assert checked == [True]


def test_the_two_commands_stand_first():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    commands = [re.sub(r" *#.*", "", line) for line in blocks[0].splitlines()]
    assert commands == ["pip install -e . && python train.py", "pip install -e '.[test]' && pytest -n auto"]


def test_every_command_and_option_shown_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line.split("#")[0] for line in re.findall(r"^python train\.py(.*)$", text, re.MULTILINE)]
    assert len(lines) > 5
    for line in lines:
        words = line.split()
        name = words[0] if words and words[0] in train.cli.commands else "train"
        known = {flag for p in train.cli.commands[name].params if isinstance(p, click.Option) for flag in p.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
