"""The notebooks: they run, and what is committed is whole and clean."""

import json
import re
from importlib.util import find_spec

import pytest

from layers.notebooks.execute import FOLDER, METADATA, NOTEBOOKS, executed
from tests.support.paths import ROOT

every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)
MISSING = [module for module in ("nbclient", "ipykernel", "matplotlib") if find_spec(module) is None]


def test_the_notebooks_are_found():
    assert {"token2wave", "complex_gradients"} <= set(NOTEBOOKS)


@every_notebook
def test_a_committed_notebook_is_whole_and_clean(name):
    """All cells were run in order without an error; no paths, times or versions of the machine; small."""
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    notebook = json.loads(text)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["metadata"] == {} for cell in notebook["cells"]) and notebook["metadata"] == METADATA
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert not re.search(r"/home/|/root|/tmp|site-packages", text) and len(text) < 150_000


@every_notebook
def test_links_of_a_notebook_lead_somewhere(name):
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", prose) if not link.startswith("https://")]
    assert links and all((FOLDER / link).exists() for link in links), links


@every_notebook
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_every_cell_runs(name, monkeypatch):
    """In a kernel of its own; what is printed is not compared, since it depends on versions."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert len(executed(FOLDER / f"{name}.ipynb")) > 0
