"""What `python train.py gradcheck` runs: every equation and network against numerical derivatives, by several methods.

complex_step  where the code is analytic       five_point, richardson  everywhere       exact  at singular points
float64_twin  float32 against float64 of the same numbers
"""

import math
from typing import NamedTuple

import numpy as np

from engine.backend import random_generator
from engine.gradcheck import METHODS, TOLERANCES, check_gradients, compare_backends
from engine.table import format_table
from layers.exact_cases import EXACT_CASES
from layers.gradient_cases import CASES, Case

TWIN_TOLERANCE = 1e-5  # ‖float32 − float64‖/‖float64‖


class Result(NamedTuple):
    """The worst of several examples of a Case by one method; dtype: of the numbers that were judged."""

    name: str
    method: str
    dtype: str
    worst_relative_error: float
    tolerance: float
    examples: int
    ok: bool


def methods_of(case):
    """The methods by which a Case can be judged."""
    return [method for method in (*METHODS, "float64_twin") if case.analytic or method != "complex_step"]


SUITE_SIZE = sum(len(methods_of(case)) for case in CASES) + len(EXACT_CASES)


def run_suite(examples=5, seed=0):
    """Results of all cases by all their methods, and of the exact cases, one after another."""
    for case in CASES:
        for method in methods_of(case):
            yield check_case(case, method, examples, seed)
    for name in EXACT_CASES:
        yield check_exact(name)


def check_case(case, method, examples=5, seed=0):
    """Result of a Case over several random examples; a failing example makes it fail, whatever the others say."""
    worst, ok = 0.0, True
    for example in range(examples):
        report = report_of(case, method, case.draw(random_generator(seed, example)), seed + example)
        # Rows that are a kink or drowned in rounding measure nothing; one without numbers (a wrong shape, say) has failed.
        judged = [row.relative_error for row in report.rows if row.verdict in ("ok", "FAIL")]
        worst = max([worst, *(math.inf if error is None else error for error in judged)])
        ok = ok and report.ok
    dtype = "float32" if method == "float64_twin" else report.dtype
    return Result(case.name, method, dtype, worst, report.tolerance, examples, ok)


def report_of(case, method, problem, seed):
    """The GradientReport of one example by one method."""
    forward, backward, inputs, parameters = problem
    if method == "float64_twin":
        tolerances = {"float32": TWIN_TOLERANCE}
        options = {"devices": ["cpu"], "dtypes": ["float32"], "tolerances": tolerances}
        return compare_backends(forward, backward, inputs, parameters=parameters, seed=seed, **options)
    tolerance = TOLERANCES[method] if case.tolerance is None else case.tolerance
    directions = 3 if method == "complex_step" else 1  # beside one for each block; the others cost several times as much
    return check_gradients(
        forward, backward, inputs, parameters=parameters, method=method, tolerance=tolerance, directions=directions, seed=seed
    )


def check_exact(name):
    """Result of one of EXACT_CASES: the error is 0, or that of the worst entry."""
    found, expected = EXACT_CASES[name]()
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(found, expected, strict=True)]
    fits = all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)
    worst = max(float(np.max(np.abs(a - b), initial=0.0)) for a, b in pairs) if fits else math.inf
    return Result(name, "exact", str(pairs[0][0].dtype), worst, 0.0, 1, fits and worst == 0.0)


def suite_table(results):
    """A row for each equation with its worst error by each method, the tolerances, and a line for each failure."""
    by_name, methods = {}, list(dict.fromkeys(r.method for r in results))
    for r in results:
        by_name.setdefault(r.name, {})[r.method] = r
    rows = []
    for name, found in by_name.items():
        cells = [f"{found[m].worst_relative_error:.1e}" if m in found else "" for m in methods]
        rows.append((name, *cells, "ok" if all(r.ok for r in found.values()) else "FAIL"))
    smallest, largest = ([f"{limit(r.tolerance for r in results if r.method == m):.0e}" for m in methods] for limit in (min, max))
    rows.append(("allowed", *smallest, ""))
    rows.append(("allowed for a network", *largest, ""))
    headings = ["worst relative error", *(m.replace("_", " ") for m in methods), "verdict"]
    failures = [f"FAIL: {r.name}, {r.method}: {r.worst_relative_error:.1e} where {r.tolerance:.0e} is allowed" for r in results if not r.ok]
    return "\n".join([format_table(headings, rows, align="<" + ">" * len(methods) + "<"), *failures])


__all__ = ["CASES", "SUITE_SIZE", "Case", "Result", "check_case", "check_exact", "methods_of", "run_suite", "suite_table"]
