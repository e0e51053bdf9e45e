"""Check every equation and network against numerical derivatives, by several methods: `python train.py gradcheck`.

complex_step  where the code is analytic       five_point, richardson  everywhere       exact  at singular points
float64_twin  float32 against float64 of the same numbers
tf32_twin     float32 with operands of matrix products rounded to TF32 (emulated), where there are any
cuda_float64, cuda_float32, cuda_tf32      on a GPU against float64 on the CPU
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.arrays.backend import random_generator
from engine.arrays.matmul import emulated_tf32, product_precision
from engine.gradcheck import METHODS, TOLERANCES, GradientReport, check_gradients, compare_backends
from engine.support.errors import UserError
from engine.support.settings import nearest
from engine.support.text import format_table
from layers.experiments.gradcheck import Case, Problem
from layers.experiments.gradcheck.cases import CASES
from layers.experiments.gradcheck.exact_cases import EXACT_CASES

TWIN_TOLERANCE = 1e-5  # ‖float32 − float64‖/‖float64‖
TF32_TOLERANCE = TWIN_TOLERANCE * 2**13  # as many roundings, each of 2⁻¹¹ instead of 2⁻²⁴
TWINS = {  # method: (device, dtype, precision of products, tolerance)
    "float64_twin": ("cpu", "float32", "float32", TWIN_TOLERANCE),
    "tf32_twin": ("cpu", "float32", "tf32", TF32_TOLERANCE),
    "cuda_float64": ("cuda", "float64", "float32", 1e-12),
    "cuda_float32": ("cuda", "float32", "float32", TWIN_TOLERANCE),
    "cuda_tf32": ("cuda", "float32", "tf32", TF32_TOLERANCE),
}


class Result(NamedTuple):
    """The worst of several examples of a Case by one method; dtype: of the numbers that were judged."""

    name: str
    method: str
    dtype: str
    worst_relative_error: float
    tolerance: float
    examples: int
    ok: bool


def methods_of(case: Case, device: str = "cpu") -> list[str]:
    """Return the methods by which a Case can be judged on a device, "cpu" or "cuda"."""
    twins = [
        name
        for name, (where, _, precision, _) in TWINS.items()
        if where in ("cpu", device) and (precision == "float32" or case.products)
    ]
    return [method for method in (*METHODS, *twins) if case.analytic or method != "complex_step"]


def chosen_cases(words: Sequence[str] = ()) -> tuple[list[Case], list[str]]:
    """(the cases, the names of exact cases) that have one of some words in their names, "E6" or "layer norm"; all of
    them where there is none. UserError for a word that no case has.
    """
    names = [*(case.name for case in CASES), *EXACT_CASES]
    patterns = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE) for word in words]
    for word, pattern in zip(words, patterns):
        if not word or not any(pattern.search(name) for name in names):
            known = sorted({part for name in names for part in re.split(", | ", name)})
            raise UserError(f"{word!r}: no check has this in its name{nearest(word, known)}; say E6, or 'layer norm'")

    def chosen(name: str) -> bool:
        return not patterns or any(pattern.search(name) for pattern in patterns)

    return [case for case in CASES if chosen(case.name)], [name for name in EXACT_CASES if chosen(name)]


def suite_size(device: str = "cpu", words: Sequence[str] = ()) -> int:
    """Return how many Results run_suite() yields."""
    cases, exact = chosen_cases(words)
    return sum(len(methods_of(case, device)) for case in cases) + len(exact)


def run_suite(examples: int = 5, seed: int = 0, device: str = "cpu", words: Sequence[str] = ()) -> Iterator[Result]:
    """Yield Results of chosen_cases() by all their methods, then of the exact ones; "cuda" adds those of a GPU."""
    cases, exact = chosen_cases(words)
    for case in cases:
        for method in methods_of(case, device):
            yield check_case(case, method, examples, seed)
    for name in exact:
        yield check_exact(name)


def check_case(case: Case, method: str, examples: int = 5, seed: int = 0) -> Result:
    """Check a Case on several random examples; a failing one makes it fail, whatever the others say."""
    worst, ok = 0.0, True
    for example in range(examples):
        report = report_of(case, method, case.draw(random_generator(seed, example)), seed + example)
        # Rows that are a kink or drowned in rounding measure nothing; one without numbers (a wrong shape) has failed.
        judged = [row.relative_error for row in report.rows if row.verdict in ("ok", "FAIL")]
        worst = max([worst, *(math.inf if error is None else error for error in judged)])
        ok = ok and report.ok
    dtype = TWINS[method][1] if method in TWINS else report.dtype
    return Result(case.name, method, dtype, worst, report.tolerance, examples, ok)


def report_of(case: Case, method: str, problem: Problem, seed: int) -> GradientReport:
    """Check one example by one method."""
    forward, backward, inputs, parameters = problem
    if method in TWINS:
        device, dtype, precision, tolerance = TWINS[method]
        with emulated_tf32() if method == "tf32_twin" else product_precision(precision, device):
            return compare_backends(
                forward,
                backward,
                inputs,
                parameters=parameters,
                devices=[device],
                dtypes=[dtype],
                tolerances={dtype: tolerance},
                seed=seed,
            )
    tolerance = TOLERANCES[method] if case.tolerance is None else case.tolerance
    # Beside one for each block; the other methods cost several times as much.
    directions = 3 if method == "complex_step" else 1
    return check_gradients(
        forward,
        backward,
        inputs,
        parameters=parameters,
        method=method,
        tolerance=tolerance,
        directions=directions,
        seed=seed,
    )


def check_exact(name: str) -> Result:
    """Check one of EXACT_CASES: the error is 0, or that of the worst entry."""
    found, expected = EXACT_CASES[name]()
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(found, expected, strict=True)]
    fits = all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)
    worst = max(float(np.max(np.abs(a - b), initial=0.0)) for a, b in pairs) if fits else math.inf
    return Result(name, "exact", str(pairs[0][0].dtype), worst, 0.0, 1, fits and worst == 0.0)


def suite_table(results: Sequence[Result]) -> str:
    """Format a row for each equation with its worst errors, the tolerances, and a line for each failure."""
    methods = list(dict.fromkeys(r.method for r in results))
    by_name: dict[str, dict[str, Result]] = {}
    for r in results:
        by_name.setdefault(r.name, {})[r.method] = r
    rows = []
    for name, found in by_name.items():
        cells = [f"{found[m].worst_relative_error:.1e}" if m in found else "" for m in methods]
        rows.append((name, *cells, "ok" if all(r.ok for r in found.values()) else "FAIL"))
    smallest, largest = (
        [f"{limit(r.tolerance for r in results if r.method == m):.0e}" for m in methods] for limit in (min, max)
    )
    rows.append(("allowed", *smallest, ""))
    if largest != smallest:
        rows.append(("allowed for a network", *largest, ""))
    headings = ["worst relative error", *(m.replace("_", " ") for m in methods), "verdict"]
    failures = [
        f"FAIL: {r.name}, {r.method}: {r.worst_relative_error:.1e} where {r.tolerance:.0e} is allowed"
        for r in results
        if not r.ok
    ]
    return "\n".join([format_table(headings, rows, align="<" + ">" * len(methods) + "<"), *failures])
