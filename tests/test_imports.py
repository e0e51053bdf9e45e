"""The rules of imports: which module may know which. Read from the files by ast; imports within functions count too.

train.py → layers, engine; layers → engine. engine never imports layers. Inside layers: experiments → networks → fast →
wave, standard. engine.cuda is below engine.arrays but for backend and checks. No module is part of a circle.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT, TOP = Path(__file__).parents[1], ("engine", "layers", "train", "wave_network")
FOUND = (path for name in ("engine", "layers") for path in (ROOT / name).rglob("*.py"))
FILES = sorted(path for path in FOUND if "build" not in path.parts[len(ROOT.parts) :])  # left by gradcheck's own build
LAYERS = {"layers.experiments": 3, "layers.networks": 2, "layers.fast": 1, "layers.wave": 0, "layers.standard": 0}


def name_of(path):
    """The module of a file, a package by its own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def within(module, *packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imports_of(module, source=None) -> Iterator[str]:
    """The modules of this project that a module imports; of `from package import name` the module `name`, if any."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8") if source is None else source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in TOP)
        elif isinstance(node, ast.ImportFrom):
            # engine/gradcheck is a distribution as well, under another name: its imports are relative, all others not.
            inside = within(module, "engine.gradcheck") and (node.level or str(node.module).split(".")[0] in TOP)
            assert bool(node.level) == bool(inside), f"{module}: {'no' if inside else 'a'} relative import"
            folders = name_of(MODULES[module].with_name("__init__.py")).split(".")
            base = folders[: len(folders) + 1 - node.level] if node.level else []
            source_module = ".".join([*base, *filter(None, [node.module])])
            found = (f"{source_module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else source_module for name in found if name.split(".")[0] in TOP)


@cache
def imports():
    """{module: the others of this project that it imports}."""
    return {module: sorted(set(imports_of(module)) - {module}) for module in MODULES}


def forbidden(importers, imported):
    """["a imports b", …]: importers, imported: (module) → whether the rule is about it."""
    pairs = [(a, b) for a, found in imports().items() if importers(a) for b in found if imported(b)]
    return [f"{a} imports {b}" for a, b in pairs]


def circle_of(graph):
    """The modules of one circle of imports, in order; [] without one."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        path.append(module)
        for other in graph.get(module, ()):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next(filter(None, map(visit, graph)), [])


def test_engine_knows_no_equation():
    assert forbidden(lambda a: within(a, "engine"), lambda b: within(b, "layers")) == []


def test_nothing_imports_the_command_line():
    """But the program that times the command line from start to first step."""
    found = forbidden(lambda a: True, lambda b: within(b, "train", "wave_network"))
    assert found == ["layers.experiments.benchmark.processes imports train"]


def test_equations_import_no_implementation_and_no_training():
    others = ("layers.fast", "layers.networks", "layers.experiments", "engine.cuda", "engine.training")
    assert forbidden(lambda a: within(a, "layers.wave", "layers.standard"), lambda b: within(b, *others)) == []


def test_layers_import_downwards_alone():
    def rank(module):
        return next((rank for package, rank in LAYERS.items() if within(module, package)), None)

    pairs = [(a, b) for a, found in imports().items() for b in found if None not in (rank(a), rank(b))]
    assert [f"{a} imports {b}" for a, b in pairs if rank(a) < rank(b)] == []


def test_of_arrays_cuda_imports_backend_and_checks_alone():
    allowed = ("engine.arrays.backend", "engine.arrays.checks")
    arrays = forbidden(lambda a: within(a, "engine.cuda"), lambda b: within(b, "engine.arrays"))
    assert [line for line in arrays if not line.endswith(allowed)] == []


def test_no_module_is_part_of_a_circle():
    assert circle_of(imports()) == []


def test_the_gradient_check_stands_alone():
    outside = lambda b: within(b, *TOP) and not within(b, "engine.gradcheck")  # noqa: E731
    assert forbidden(lambda a: within(a, "engine.gradcheck"), outside) == []


# --- the test itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, found",
    [
        ("import engine.layer, train", ["engine.layer", "train"]),
        ("from engine import layer", ["engine.layer"]),
        ("from engine.layer import Layer", ["engine.layer"]),
        ("def f():\n    from layers.fast import gelu_cuda, TABLE", ["layers.fast.gelu_cuda", "layers.fast"]),
        ("import numpy as np\nfrom pathlib import Path", []),
    ],
)
def test_imports_are_found_wherever_they_stand(source, found):
    assert list(imports_of("engine", source)) == found


def test_relative_imports_are_read_from_where_they_stand():
    found = ["engine.gradcheck.arrays", "engine.gradcheck.compare.case"]
    source = "from ..arrays import Array\nfrom .case import Case"
    assert list(imports_of("engine.gradcheck.compare.flat", source)) == found


def test_circles_are_found_and_chains_are_none():
    assert circle_of({"a": ["b", "c"], "b": ["c"], "c": []}) == []
    assert circle_of({"a": ["b"], "b": ["c"], "c": ["d", "b"], "d": []}) == ["b", "c"]
