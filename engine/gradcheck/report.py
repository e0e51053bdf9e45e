"""The outcome of a gradient check: rows of numbers, a verdict for each, an aligned table, JSON, an assertion."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

UNCHECKED = "nothing is known of its gradient, all that was seen is kinks, jumps or rounding: choose other inputs"
COLUMNS = ("name", "method", "numeric", "analytic", "absolute", "relative", "of tolerance", "verdict")


@dataclass(frozen=True)
class Row:
    """One comparison ⟨dy, J·u⟩ (numeric) with ⟨Jᵀ·dy, u⟩ (analytic); the numbers are None where none could be taken.

    relative_error: |numeric − analytic|/(‖dy‖·‖J·u‖); 0 where both are 0, infinite where only J·u is 0.
    verdict: "ok"; "FAIL"; "kink": the function has no derivative here; "noise": numeric and analytic differ by more
    than the tolerance, but by less than rounding explains, so nothing is known.
    entry: the worst entry with its index, and which others are wrong, in words, where they were looked for: in
    failures, and by check_jacobian. kinked: whether the function has a kink or a jump here.
    detects: the smallest error in the gradient of a single entry, whichever, that this row would have shown.
    """

    name: str
    verdict: str
    method: str = ""
    numeric: float | None = None
    analytic: float | None = None
    absolute_error: float | None = None
    relative_error: float | None = None
    tolerance: float | None = None
    step: float | None = None
    message: str = ""
    entry: str = ""
    kinked: bool = False
    detects: float | None = None

    @property
    def tolerance_used(self) -> float | None:
        """Share of the tolerance used, in percent; None where there is nothing to hold against it."""
        if self.relative_error is None or self.tolerance is None or self.verdict in ("kink", "noise"):
            return None
        if self.verdict == "ok" and self.relative_error > self.tolerance:  # two rounding errors of 0
            return None
        if self.tolerance == 0.0:  # exact or wrong
            return 0.0 if self.relative_error == 0.0 else math.inf
        return 100.0 * self.relative_error / self.tolerance


@dataclass(frozen=True)
class Limit:
    """The smallest error of a single entry's gradient that a check would have shown, whichever entry has it.

    relative: the same as a share of the largest entry of the gradient; infinite where that is 0.
    """

    name: str
    error: float
    relative: float


@dataclass(frozen=True)
class GradientReport:
    """Rows and the circumstances under which they were taken. str() is a table; to_json() carries the same.

    unchecked: names of the inputs and parameters of which only kinks and rounding were met, so that nothing is known of
    their gradient. limits: what could have been seen of each input and parameter.
    """

    rows: tuple[Row, ...]
    seed: int
    dtype: str
    backend: str
    step: float
    tolerance: float
    notes: tuple[str, ...] = field(default=())
    unchecked: tuple[str, ...] = field(default=())
    limits: tuple[Limit, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether nothing failed and something was truly checked.

        Kinks alone prove nothing of an input, kinks and noise nothing of all.
        """
        return not self.failures and not self.unchecked and any(row.verdict == "ok" for row in self.rows)

    @property
    def failures(self) -> tuple[Row, ...]:
        """Rows that failed."""
        return self.with_verdict("FAIL")

    @property
    def kinks(self) -> tuple[Row, ...]:
        """Rows where the function has no derivative."""
        return self.with_verdict("kink")

    @property
    def unresolved(self) -> tuple[Row, ...]:
        """Rows that rounding leaves open."""
        return self.with_verdict("noise")

    @property
    def worst(self) -> Row | None:
        """Row that needs attention most: a failure, else the largest share of the tolerance."""
        return max(self.rows, key=severity, default=None)

    def with_verdict(self, verdict: str) -> tuple[Row, ...]:
        """Return the rows with this verdict."""
        return tuple(row for row in self.rows if row.verdict == verdict)

    def __str__(self) -> str:
        cells = [COLUMNS, *map(row_cells, self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
        lines = [self.summary()]
        for line in cells:
            padded = [cell.rjust(w) if 2 <= i <= 6 else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths))]
            lines.append("  " + "  ".join(padded).rstrip())
        lines += [f"{row.name}: {row.message}" for row in self.rows if row.message]
        lines += [f"{row.name}: worst entry {row.entry}" for row in self.rows if row.entry]
        lines += [f"{name}: {UNCHECKED}" for name in self.unchecked]
        lines += [f"note: {note}" for note in self.notes]
        if self.limits:
            worst = max(self.limits, key=lambda limit: limit.relative)
            lines.append(
                f"detection limit: an error of a single entry shows from {worst.error:.1e} on, {worst.relative:.1e} of "
                f"the largest ({worst.name}{', the worst' if len(self.limits) > 1 else ''})"
            )
        lines.append(
            f"seed {self.seed}, {self.dtype}, {self.backend}, step {self.step:.3g}, tolerance {self.tolerance:.3g}"
        )
        return "\n".join(lines)

    def summary(self) -> str:
        """Return one line: the outcome, the counts, the worst row."""
        counts = [f"{len(self.with_verdict(v))} {v}" for v in ("ok", "FAIL", "kink", "noise") if self.with_verdict(v)]
        worst = f", worst: {self.worst.name}" if self.worst else ""
        share = self.worst.tolerance_used if self.worst else None
        used = "" if share is None else f" ({share:.3g} % of its tolerance)"
        return f"gradient check {'ok' if self.ok else 'FAILED'}: {', '.join(counts) or 'no rows'}{worst}{used}"

    def to_json(self) -> str:
        """Return the report as JSON text. Numbers that JSON does not know become the strings "inf" and "nan"."""
        rows = [{**asdict(row), "tolerance_used": row.tolerance_used} for row in self.rows]
        worst = self.worst.name if self.worst else None
        whole = {**asdict(self), "rows": rows, "ok": self.ok, "worst": worst}
        return json.dumps(json_safe(whole), indent=1, allow_nan=False)


def assert_gradients(report: GradientReport) -> None:
    """Raise AssertionError with the table and, for each failing row, what to look for, unless report.ok."""
    __tracebackhide__ = True  # pytest then shows the caller's line
    if report.ok:
        return
    lines = [str(report), ""]
    lines += [f"{row.name}: {advice(row)}" for row in report.failures]
    if not report.failures and not report.unchecked:
        lines.append("nothing was truly checked: every row is a kink or drowned in rounding; choose other inputs")
    raise AssertionError("\n".join(lines))


def advice(row: Row) -> str:
    """Say what the numbers of a failing row suggest."""
    if row.numeric is None and row.relative_error is not None:
        return row.message or f"differs by {row.relative_error:.1e}, where {row.tolerance:.1e} is allowed"
    if row.numeric is None or row.analytic is None or not all(map(math.isfinite, (row.numeric, row.analytic))):
        return row.message
    if row.numeric == 0.0:
        return "forward does not depend on it here, but its gradient is not zero"
    ratio = row.analytic / row.numeric
    if not math.isfinite(ratio) or (ratio and not math.isfinite(1.0 / ratio)):
        return "the gradient has another order of magnitude"
    if ratio == 0.0:
        return "forward depends on it, but its gradient is zero: a term is missing, or nothing was accumulated"
    if abs(ratio + 1.0) < 1e-6:
        return "the gradient has the wrong sign (analytic = −numeric)"
    nearest = round(ratio) if abs(ratio) >= 1 else 1 / round(1 / ratio)
    if nearest != 1 and abs(ratio - nearest) < 1e-6 * abs(nearest):
        return f"the gradient is {nearest:.4g} times what it must be"
    if abs(ratio - 1.0) < 1e-3:
        return f"the gradient is nearly right (off by {abs(ratio - 1.0):.1e}): a small term or an entry is wrong"
    return (
        "the gradient is wrong in this direction: look for a missing term, a wrong axis, conjugate, transpose or cache"
    )


def severity(row: Row) -> tuple[int, float]:
    """Return the sort key of the worst row."""
    share = row.tolerance_used
    if share is None or math.isnan(share):
        share = math.inf if row.verdict == "FAIL" else -1.0
    return (("ok", "kink", "noise", "FAIL").index(row.verdict), share)


def row_cells(row: Row) -> tuple[str, ...]:
    """Return a row as text, one cell a column."""
    share = row.tolerance_used
    used = "-" if share is None else f"{share:.3g} %"
    numbers = ["-" if x is None else f"{x:.9e}" for x in (row.numeric, row.analytic)]
    errors = ["-" if x is None else f"{x:.2e}" for x in (row.absolute_error, row.relative_error)]
    return (row.name, row.method or "-", *numbers, *errors, used, row.verdict)


def json_safe(x: Any) -> Any:
    """Return the same structure with NaN and infinities as strings."""
    if isinstance(x, dict):
        return {key: json_safe(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [json_safe(value) for value in x]
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
