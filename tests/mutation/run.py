"""Mutation run: does the test suite notice every small change to a backward pass?

    python tests/mutation/run.py                     every backward of layers/ (but layers/fast), and every
                                                     function of layers/ that one calls
    python tests/mutation/run.py '*token2wave*'      only functions whose "file:name" matches
    python tests/mutation/run.py --json              the same numbers for programs

mutmut changes one thing at a time: an operator, a number, a sign, an argument, an assignment. A mutant is killed when a
test of tests/layers fails. A survivor must have a proof in equivalent.toml that it computes the same gradient.
Everything happens in a copy of the tree in a temporary folder. Docstrings are not mutated, and neither are the texts of
errors (f-strings), since neither changes a number; the checks of a cotangent are.

Exit code: 0 when every mutant is killed or proved equivalent, 1 when not or when an entry of equivalent.toml is out of
date, 2 when the run could not take place, 130 after Ctrl-C.
"""

import ast
import difflib
import fnmatch
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from engine.support.errors import UserError  # noqa: E402
from engine.support.files import read_toml  # noqa: E402
from engine.support.text import format_table  # noqa: E402

FOLDERS = ("layers/wave", "layers/standard", "layers/networks")
PARTS = ("engine", "layers", "tests", "pyproject.toml", "README.md")  # and the modules beside them
TESTS = "tests/layers"
FURTHER = ("layers/standard/gelu.py:gelu_and_slope",)  # computes a gradient although no backward calls it
KILLED = ("killed", "timeout")
TIMEOUT = {"timeout_constant": 5, "timeout_multiplier": 4}  # 4·(seconds of the tests concerned + 5)
MUTMUT = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()"]  # its console script may be off the PATH
INSTALL = "pip install -e '.[mutation]'"


@dataclass(frozen=True)
class Function:
    """A function or method of the tree. name: "f" or "Class.f"."""

    file: str
    name: str
    line: int
    source: str

    @property
    def key(self):
        return f"{self.file}:{self.name}"

    @property
    def generated(self):
        """What mutmut calls it, without the number of the mutant."""
        module = self.file.removesuffix(".py").replace("/", ".")
        owner, _, name = self.name.rpartition(".")
        return f"{module}.xǁ{owner}ǁ{name}" if owner else f"{module}.x_{name}"


@dataclass(frozen=True)
class Mutant:
    """One change. original, mutated: the lines that differ; outcome: killed, survived, equivalent or mutmut's word."""

    function: Function
    name: str
    line: int
    original: str
    mutated: str
    diff: str
    outcome: str
    seconds: float
    proof: str = ""

    @property
    def key(self):
        return self.function.file, self.function.name, self.original, self.mutated


def functions_of(tree):
    """Every function and method of FOLDERS, in order."""
    found = []
    for path in sorted(p for folder in FOLDERS for p in (tree / folder).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
            for part in inner:
                if isinstance(part, ast.FunctionDef):
                    found.append(
                        Function(
                            path.relative_to(tree).as_posix(),
                            owner + part.name,
                            part.lineno,
                            ast.get_source_segment(text, part),
                        )
                    )
    return found


def names_used(function):
    """The names of functions and methods that a function may call."""
    nodes = list(ast.walk(ast.parse(function.source)))
    return {n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}


def backward_functions(functions):
    """All backwards, everything that they call by name within FOLDERS, and FURTHER. Forwards are none of them."""
    functions = list(functions)
    chosen = {f for f in functions if re.fullmatch(r"(.*[._])?backward", f.name) or f.key in FURTHER}
    while True:
        used = set().union(*map(names_used, chosen)) if chosen else set()
        more = {f for f in functions if f.name in used and f not in chosen}
        if not more:
            return [f for f in functions if f in chosen]
        chosen |= more


def chosen_functions(tree, patterns):
    """The functions to mutate: those of the patterns, by default the backwards."""
    functions = functions_of(tree)
    if not patterns:
        return backward_functions(functions)
    chosen = [f for f in functions if any(fnmatch.fnmatch(f.key, pattern) for pattern in patterns)]
    if not chosen:
        raise UserError(f"no function of {', '.join(FOLDERS)} matches {' '.join(patterns)}")
    return chosen


def copy_tree(tree, copy, functions):
    """What the tests of layers/ need, with a configuration for mutmut that mutates the files of the functions."""
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    for part in [*PARTS, *(p.name for p in tree.glob("*.py"))]:
        if (tree / part).is_dir():
            shutil.copytree(tree / part, copy / part, ignore=ignore)
        elif (tree / part).exists():
            shutil.copy2(tree / part, copy / part)
    settings = {
        "source_paths": "layers",
        "only_mutate": sorted({f.file for f in functions}),
        "also_copy": [p.name for p in sorted(copy.iterdir()) if p.name not in ("layers", "tests")],
        "pytest_add_cli_args_test_selection": TESTS,
        "use_git_change_detection": False,
        **TIMEOUT,
    }
    lines = [
        f"{key} = " + "".join(f"\n    {v}" for v in value) if isinstance(value, list) else f"{key} = {value}"
        for key, value in settings.items()
    ]
    (copy / "setup.cfg").write_text("[mutmut]\n" + "\n".join(lines) + "\n", encoding="utf-8")


def environment(**more):
    """Derandomised hypothesis (see tests/conftest.py), so that a score can be repeated, and one thread per process."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "CI": "true", "PYTHONIOENCODING": "utf-8", **more}


def run_command(command, folder, log, watch=None, **variables):
    """Exit code of a command whose output goes to a file. Its processes end with this one, however it ends."""
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(**variables),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if watch:
                    watch()
            return process.returncode
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def read_results(copy, functions):
    """{name of the mutant: (exit code, seconds)} as far as mutmut has come."""
    wanted, results = {f.generated for f in functions}, {}
    for path in {f.file for f in functions}:
        try:
            data = json.loads((copy / "mutants" / f"{path}.meta").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):  # not yet written, or being written
            continue
        for name, code in data["exit_code_by_key"].items():
            if name.rpartition("__mutmut_")[0] in wanted:
                results[name] = code, data["durations_by_key"].get(name) or 0.0
    return results


def show_progress(copy, functions, started):
    """A line on a terminal that counts the mutants."""
    results = read_results(copy, functions)
    done = sum(code is not None for code, _ in results.values())
    print(
        f"\r{done} of {len(results)} mutants, {time.monotonic() - started:.0f} s ", end="", file=sys.stderr, flush=True
    )


def run_mutants(copy, functions, processes):
    """{name: (exit code, seconds)} of all mutants of the functions; mutmut runs only the tests that call a function."""
    started, log = time.monotonic(), copy / "mutmut.log"
    watch = (lambda: show_progress(copy, functions, started)) if sys.stderr.isatty() else None
    code = run_command(
        [*MUTMUT, "run", "--max-children", str(processes), *(f"{f.generated}__mutmut_*" for f in functions)],
        copy,
        log,
        watch,
    )
    if watch:
        print(file=sys.stderr)
    results = read_results(copy, functions)
    if code or not results or any(exit_code is None for exit_code, _ in results.values()):
        lines = re.split(r"[\r\n]+", log.read_text(encoding="utf-8", errors="replace"))
        last = "\n".join([line for line in lines if "Running stats" not in line][-30:])
        raise UserError(
            f"mutmut ended with exit code {code}; the tests must pass before anything is mutated. "
            f"Its last lines:\n{last}"
        )
    return results


def survives_all_tests(copy, name):
    """Whether no test of TESTS fails, those that were not seen to call the function included."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", TESTS]
    return run_command(command, copy / "mutants", copy / "pytest.log", MUTANT_UNDER_TEST=name) == 0


def changed_lines(before, after):
    """(index of the first changed line, the lines taken out, the lines put in)."""
    blocks = [b for b in difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes() if b[0] != "equal"]
    first, last = blocks[0], blocks[-1]
    return first[1], before[first[1] : last[2]], after[first[3] : last[4]]


def read_mutants(copy, functions, results):
    """The Mutants of the results, in the order of the source."""
    import libcst
    from mutmut.mutation.diff_apply import read_functions_from_index
    from mutmut.stats import status_by_exit_code

    by_generated = {f.generated: f for f in functions}
    mutants, folder = [], os.getcwd()
    os.chdir(copy)  # mutmut reads its files relative to the working directory
    try:
        for name, (code, seconds) in results.items():
            function = by_generated[name.rpartition("__mutmut_")[0]]
            before, after = (
                libcst.Module([node]).code.strip().split("\n")
                for node in read_functions_from_index(name, function.file)
            )
            start, out, into = changed_lines(before, after)
            line = function.line + start - next(i for i, text in enumerate(before) if text.lstrip().startswith("def "))
            diff = "\n".join([*(f"- {text.strip()}" for text in out), *(f"+ {text.strip()}" for text in into)])
            original, mutated = ("\n".join(text.strip() for text in lines) for lines in (out, into))
            mutants.append(Mutant(function, name, line, original, mutated, diff, status_by_exit_code[code], seconds))
    finally:
        os.chdir(folder)
    return sorted(mutants, key=lambda m: (m.function.file, m.line, int(m.name.rpartition("_")[2])))


def read_proofs(tree):
    """{(file, function, original line, mutated line): proof} of tests/mutation/equivalent.toml.

    Line numbers are no part of a key: a proof stays valid when a function moves.
    """
    path = tree / "tests/mutation/equivalent.toml"
    proofs = {}
    for entry in read_toml(path).get("mutant", []) if path.exists() else []:
        texts = [entry.get(name) for name in ("file", "function", "original", "proof")]
        mutated = entry.get("mutated")
        if (
            len(entry) != 5
            or not isinstance(mutated, list)
            or not mutated
            or not all(isinstance(v, str) and v.strip() for v in [*texts, *mutated])
        ):
            raise UserError(
                f"{path}: every [[mutant]] needs the texts file, function, original, proof and a list mutated, "
                f"got {entry}"
            )
        for line in mutated:
            key = (*texts[:3], line)
            if key in proofs:
                raise UserError(f"{path}: two entries for {key}")
            proofs[key] = " ".join(texts[3].split())
    return proofs


def explain(mutants, proofs, functions):
    """(mutants, survivors that have a proof as "equivalent"; complaints about entries that fit no such survivor)."""
    explained = [
        replace(m, outcome="equivalent", proof=proofs[m.key]) if m.outcome not in KILLED and m.key in proofs else m
        for m in mutants
    ]
    complaints, keys = [], {f.key for f in functions}
    for key in proofs:
        label = f"{key[0]}:{key[1]}: {key[2]!r} → {key[3]!r}"
        same = [m for m in explained if m.key == key]
        if not same and f"{key[0]}:{key[1]}" in keys:
            complaints.append(f"matches no mutant any more: {label}")
        elif any(m.outcome in KILLED for m in same):
            complaints.append(f"was killed by a test, so it is not equivalent: {label}")
        elif len({m.line for m in same}) > 1:
            complaints.append(f"stands for {len(same)} mutants in different lines; a proof must name one: {label}")
    return explained, complaints


def entries_of_other_functions(proofs, tree):
    """Complaints about entries whose function is gone or not mutated."""
    known = {f.key for f in functions_of(tree)}
    return [f"names no function: {key[0]}:{key[1]}" for key in proofs if f"{key[0]}:{key[1]}" not in known]


def unmutated(functions, mutants):
    """Functions for which mutmut made no mutant: it leaves out what it cannot parse without a word."""
    return [f.key for f in functions if f not in {m.function for m in mutants}]


def file_rows(mutants):
    """Per file, and in all: mutants, killed, survived, equivalent, seconds."""
    groups = {
        file: [m for m in mutants if m.function.file == file]
        for file in dict.fromkeys(m.function.file for m in mutants)
    }
    rows = []
    for file, group in [*groups.items(), ("total", mutants)]:
        killed, equivalent = sum(m.outcome in KILLED for m in group), sum(m.outcome == "equivalent" for m in group)
        survived = len(group) - killed - equivalent
        rows.append((file, len(group), killed, survived, equivalent, sum(m.seconds for m in group)))
    return rows


def mutate(tree, patterns=(), processes=1):
    """The whole run: a dict of plain values, as --json prints it."""
    try:
        version = importlib.metadata.version("mutmut")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"mutmut is not installed; {INSTALL}") from None
    if not hasattr(os, "fork"):
        raise UserError(
            "mutmut needs fork, which this system does not have; use Linux, macOS or the Windows Subsystem for Linux"
        )
    started, tree = time.monotonic(), Path(tree).resolve()
    functions, proofs = chosen_functions(tree, patterns), read_proofs(tree)
    with tempfile.TemporaryDirectory(prefix="mutation-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder).resolve()
        copy_tree(tree, copy, functions)
        mutants = read_mutants(copy, functions, run_mutants(copy, functions, processes))
        for i, m in enumerate(mutants):
            if m.outcome not in KILLED and m.key not in proofs and not survives_all_tests(copy, m.name):
                mutants[i] = replace(m, outcome="killed")
    mutants, complaints = explain(mutants, proofs, functions)
    complaints += entries_of_other_functions(proofs, tree)
    rows = file_rows(mutants)
    _, count, killed, survived, equivalent, _ = rows[-1]
    return {
        "mutmut": version,
        "functions": len(functions),
        "mutants": count,
        "killed": killed,
        "survived": survived,
        "equivalent": equivalent,
        "score": killed / (count - equivalent) if count > equivalent else 1.0,
        "seconds": time.monotonic() - started,
        "files": [
            dict(zip(("file", "mutants", "killed", "survived", "equivalent", "seconds"), row, strict=True))
            for row in rows[:-1]
        ],
        "survivors": [
            {
                "file": m.function.file,
                "function": m.function.name,
                "line": m.line,
                "outcome": m.outcome,
                "diff": m.diff,
                "proof": m.proof,
            }
            for m in mutants
            if m.outcome not in KILLED
        ],
        "without_mutants": unmutated(functions, mutants),
        "entries_out_of_date": complaints,
        "ok": not survived and not complaints,
    }


def describe(result):
    """The result as text."""
    heading = ["file", "mutants", "killed", "survived", "equivalent", "seconds"]
    rows = [[*list(file.values())[:-1], f"{file['seconds']:.0f}"] for file in result["files"]]
    rows.append(["total", *(result[k] for k in heading[1:5]), f"{result['seconds']:.0f}"])
    blocks = [format_table(heading, rows)]
    for survivor in result["survivors"]:
        unexplained = f"{survivor['outcome'].upper()}: no test fails, and equivalent.toml has no proof"
        why = f"equivalent: {survivor['proof']}" if survivor["proof"] else unexplained
        blocks.append(f"{survivor['file']}:{survivor['line']}  {survivor['function']}\n{survivor['diff']}\n{why}")
    blocks += [f"equivalent.toml: an entry {complaint}" for complaint in result["entries_out_of_date"]]
    if result["without_mutants"]:
        blocks.append("no mutants of: " + ", ".join(result["without_mutants"]))
    blocks.append(
        f"{result['functions']} functions, {result['mutants']} mutants: {result['killed']} killed, "
        f"{result['survived']} survived, {result['equivalent']} equivalent. "
        f"Score {100 * result['score']:.4g} % of those that change the gradient, "
        f"{result['seconds'] / 60:.1f} min, mutmut {result['mutmut']}."
    )
    return "\n\n".join(blocks)


@click.command()
@click.argument("patterns", nargs=-1)
@click.option(
    "--processes", default=1, show_default=True, type=click.IntRange(min=1), help="mutants tested at the same time"
)
@click.option(
    "--tree",
    default=str(HERE.parents[1]),
    type=click.Path(exists=True, file_okay=False),
    help="the tree to copy; default: this one",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def main(patterns, processes, tree, as_json):
    """Mutate the backward passes of layers/ and list what no test notices.

    PATTERNS of "file:function" restrict the run.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy is removed then too
    try:
        result = mutate(tree, patterns, processes)
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    click.echo(json.dumps(result, indent=2, ensure_ascii=False) if as_json else describe(result))
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
