"""Print how gradient checkers judge function pairs whose gradients are known to be right or wrong.

python -m engine.gradcheck.compare [--list] [--only PATTERN] [--checkers a,b] [--json]
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from . import CASES
from .case import Case
from .contestants import CONTESTANTS, Verdict

COLUMNS = ("checker", "right", "false failures", "wrong", "false passes", "refused", "seconds")


class Outcome(NamedTuple):
    """The verdicts of one checker on the cases, in their order, and how long it took; None: not installed."""

    checker: str
    verdicts: list[Verdict] | None
    seconds: float = 0.0


class BadArgument(Exception):
    """An argument of the command line that cannot be used; the text says why."""


def chosen_cases(pattern: str | None) -> list[Case]:
    """Return the cases whose name contains a regular expression, in upper or lower case."""
    if pattern is None:
        return CASES
    try:
        wanted = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise BadArgument(f"--only: {pattern!r} is no regular expression ({error})") from error
    found = [case for case in CASES if wanted.search(case.name)]
    if not found:
        raise BadArgument(f"--only: no case has a name with {pattern!r}; --list shows all of them")
    return found


def chosen_checkers(names: str | None) -> list[str]:
    """Return the names in a comma-separated list, or all."""
    if names is None:
        return list(CONTESTANTS)
    found = [name.strip() for name in names.split(",")]
    for name in found:
        if name not in CONTESTANTS:
            raise BadArgument(f"--checkers: there is no {name!r}, choose from {','.join(CONTESTANTS)}")
    return found


def run(checker: str, cases: Sequence[Case]) -> Outcome:
    """Return the outcome of one checker."""
    contestant = CONTESTANTS[checker]
    if not contestant.is_installed:
        return Outcome(checker, None)
    started = time.perf_counter()
    verdicts = [contestant.judge(case) for case in cases]
    return Outcome(checker, verdicts, time.perf_counter() - started)


def counts(outcome: Outcome, cases: Sequence[Case]) -> dict[str, int]:
    """Return how often a checker was right and wrong, by the names of the columns."""
    answers = [(case.right, verdict.answer) for case, verdict in zip(cases, outcome.verdicts or [])]
    return {
        "right": sum(right for right, _ in answers),
        "false failures": answers.count((True, "not ok")),
        "wrong": sum(not right for right, _ in answers),
        "false passes": answers.count((False, "ok")),
        "refused": sum(answer == "refused" for _, answer in answers),
    }


def summary_table(outcomes: Sequence[Outcome], cases: Sequence[Case]) -> str:
    """Return one line for each checker."""
    rows = []
    for outcome in outcomes:
        if outcome.verdicts is None:
            rows.append([outcome.checker, "not installed", *[""] * (len(COLUMNS) - 2)])
        else:
            rows.append([outcome.checker, *map(str, counts(outcome, cases).values()), f"{outcome.seconds:.1f}"])
    contracts = sum(case.contract for case in cases)
    note = f"{contracts} of the wrong cases return right numbers once: they write where they must not, or keep a state."
    return aligned([list(COLUMNS), *rows]) + (f"\n{note}" if contracts else "")


def case_table(outcomes: Sequence[Outcome], cases: Sequence[Case]) -> str:
    """Return one line for each case: what it is, what every checker said, and why it is there."""
    ran = [outcome for outcome in outcomes if outcome.verdicts is not None]
    rows = [["case", "is", *[outcome.checker for outcome in ran], "reason"]]
    for i, case in enumerate(cases):
        answers = [outcome.verdicts[i].answer for outcome in ran if outcome.verdicts is not None]
        rows.append([case.name, "right" if case.right else "wrong", *answers, case.reason])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows)


def as_json(outcomes: Sequence[Outcome], cases: Sequence[Case]) -> str:
    """Return counts and verdicts as JSON text; null for a checker that is not installed."""
    checkers = {o.checker: None if o.verdicts is None else {**counts(o, cases), "seconds": o.seconds} for o in outcomes}
    listed = [
        {
            "name": case.name,
            "right": case.right,
            "contract": case.contract,
            "reason": case.reason,
            "verdicts": {o.checker: o.verdicts[i]._asdict() for o in outcomes if o.verdicts is not None},
        }
        for i, case in enumerate(cases)
    ]
    return json.dumps({"checkers": checkers, "cases": listed}, indent=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="show every case with every verdict")
    parser.add_argument("--only", metavar="PATTERN", help="cases whose name contains this regular expression")
    parser.add_argument("--checkers", metavar="NAMES", help=f"some of {','.join(CONTESTANTS)}")
    parser.add_argument("--json", action="store_true", help="counts and verdicts as JSON")
    options = parser.parse_args(arguments)
    try:
        cases, names = chosen_cases(options.only), chosen_checkers(options.checkers)
    except BadArgument as error:
        print(error, file=sys.stderr)
        return 2
    outcomes = [run(name, cases) for name in names]
    if options.json:
        print(as_json(outcomes, cases))
        return 0
    if options.list:
        print(case_table(outcomes, cases), end="\n\n")
    print(summary_table(outcomes, cases))
    return 0


if __name__ == "__main__":
    sys.exit(main())
