"""Text and JSON of the command exercise: the list, the derivation of one, the verdict on a file."""

from typing import Any

from engine.gradcheck import GradientReport
from engine.gradcheck.report import json_safe
from engine.support.command import command_name
from engine.support.text import format_table
from layers.experiments.exercises.check import Gradient, Verdict
from layers.experiments.exercises.fit import Finding
from layers.experiments.exercises.table import EXERCISES, Exercise

HIDDEN_STATE = (
    "The gradients are right where backward directly follows its forward, and wrong where another forward\n"
    "ran in between: keep all that backward needs in the cache."
)


def list_as_text() -> str:
    """Return the table of all exercises."""
    rows = [(e.name, e.number, e.asked, e.chapter) for e in EXERCISES.values()]
    table = format_table(["name", "equation", "what is asked", "chapter"], rows, align="<<<<")
    return f"{table}\n\n{command_name()} exercise NAME writes one, exercise --check FILE checks it"


def list_as_json() -> list[dict[str, str]]:
    """Return the rows of the table of all exercises."""
    return [
        {"name": e.name, "equation": e.number, "asked": e.asked, **derivation_as_json(e)} for e in EXERCISES.values()
    ]


def derivation_as_json(exercise: Exercise) -> dict[str, str]:
    """Return the chapter with the derivation, and the heading there."""
    return {"chapter": exercise.chapter, "derivation": exercise.derivation}


def hint(exercise: Exercise) -> str:
    """Say where the derivation is."""
    return f"The derivation: {exercise.chapter}, under {exercise.derivation!r}."


def verdict_as_text(verdict: Verdict) -> str:
    """Return the verdict on a file: each gradient with what is wrong, and the outcome of the gradient checker."""
    exercise = verdict.exercise
    lines = [f"{exercise.name} ({exercise.number}), {verdict.path}: {'right' if verdict.ok else 'wrong'}"]
    width = max(len(gradient.name) for gradient in verdict.gradients)
    for gradient in verdict.gradients:
        lines += [f"  {'' if i else gradient.name:{width}}  {line}" for i, line in enumerate(gradient_lines(gradient))]
    lines += ["", gradcheck_line(verdict)]
    if verdict.ok:
        lines.append(f"The same in this project: {exercise.solution}, derived in {exercise.chapter}.")
    return "\n".join(lines)


def gradient_lines(gradient: Gradient) -> list[str]:
    """Return the lines about one gradient."""
    worst = gradient.worst
    if worst is None:
        return ["right"]
    found = gradient.findings or [Finding("", "no mistake that is known here explains it")]
    where = f", those of {worst.where}" if worst.where else ""
    lines = [f"{'' if i else 'wrong':5}  {finding_as_text(finding)}" for i, finding in enumerate(found)]
    place = f" ({worst.place})" if worst.place else ""
    numbers = f"got {number(worst.got)}, expected {number(worst.expected)}"
    lines.append(f"       worst entry {worst.at}{place}: {numbers}, off by {abs(worst.got - worst.expected):.2g}")
    return [*lines, f"       {worst.wrong} of {worst.entries} entries are wrong{where}"]


def finding_as_text(finding: Finding) -> str:
    """Return "term: mistake"; the mistake alone where it is of the gradient as a whole."""
    return f"{finding.term}: {finding.mistake}" if finding.term else finding.mistake


def number(x: complex) -> str:
    """Return six digits of a real or complex number."""
    return f"{x.real:.6g} {'-' if x.imag < 0 else '+'} {abs(x.imag):.6g}i" if isinstance(x, complex) else f"{x:.6g}"


def worst_report(verdict: Verdict) -> GradientReport:
    """Return the report of the gradient checker that fails, or has the largest error."""
    return max(verdict.reports, key=lambda report: (not report.ok, largest_error(report)))


def largest_error(report: GradientReport) -> float:
    """Return the largest relative error in a report."""
    return max((row.relative_error for row in report.rows if row.relative_error is not None), default=0.0)


def gradcheck_line(verdict: Verdict) -> str:
    """Return how large the error is, and where the gradient checker alone failed, the reason."""
    report = worst_report(verdict)
    numbers = f"{largest_error(report):.2g}, tolerance {report.tolerance:.0e}"
    if report.ok:
        line = f"Gradient check: {len(verdict.reports)} random examples passed, relative error at most {numbers}."
    else:
        line = f"Gradient check: random example {len(verdict.reports)} failed, relative error {numbers}."
    if verdict.hidden_state:
        return f"{line}\n{HIDDEN_STATE}"
    messages = [f"{row.name}: {row.message}" for row in report.failures if row.message and verdict.all_right]
    return "\n".join([line, *messages[:1]])


def verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    """Return the same as an object."""
    report = worst_report(verdict)
    return json_safe(
        {
            "exercise": verdict.exercise.name,
            "equation": verdict.exercise.number,
            "file": verdict.path,
            "ok": verdict.ok,
            "gradients": [gradient_as_json(gradient) for gradient in verdict.gradients],
            "gradient_check": {
                "examples": len(verdict.reports),
                "passed": sum(report.ok for report in verdict.reports),
                "worst_relative_error": largest_error(report),
                "tolerance": report.tolerance,
            },
            "hidden_state": verdict.hidden_state,
            "solution": verdict.exercise.solution if verdict.ok else None,
        }
    )


def gradient_as_json(gradient: Gradient) -> dict[str, Any]:
    """Return one gradient; complex numbers as [re, im]."""
    worst = gradient.worst
    entry: dict[str, Any] | None = None
    if worst is not None:
        entry = worst._asdict()
        entry |= {key: [z.real, z.imag] for key in ("got", "expected") if isinstance(z := entry[key], complex)}
    return {
        "name": gradient.name,
        "ok": worst is None,
        "findings": [finding._asdict() for finding in gradient.findings],
        "worst": entry,
    }
