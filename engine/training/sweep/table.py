"""The results of a sweep for people and for other programs: text, Markdown, CSV."""

import csv
import io

from engine.table import format_table, markdown_table

HEADINGS = ("seeds", "test accuracy", "95 % interval", "macro F1", "validation", "training", "memory")
CSV_COLUMNS = (
    "seeds", "planned", "mean", "mean_spread", "interval_low", "interval_high", "macro_f1", "macro_f1_spread",
    "validation", "validation_spread", "seconds", "peak_memory_bytes",
)  # fmt: skip
TOGETHER = {
    "together": "accuracy", "together_spread": "accuracy_spread",
    "together_macro_f1": "macro_f1", "together_macro_f1_spread": "macro_f1_spread", "together_groups": "groups",
}  # further columns of table.csv, where seeds were measured together: in a row's "together"
NOTE = "mean ± standard deviation over the seeds {seeds}; 95 % interval of the mean (Student's t); training: mean seconds of one run; memory: its largest peak"
TOGETHER_NOTE = "; {0} together: test accuracy of the mean of {0} seeds' class probabilities, over groups of {0}"
RESERVED = {*CSV_COLUMNS, *TOGETHER}  # names that no axis may have
MISSING = "-"


def as_text(results):
    """The table for a terminal, with what its figures are."""
    return f"{format_table(*cells(results))}\n\n{note(results)}"


def as_markdown(results):
    """The table in Markdown, and the runs that failed."""
    failed = "".join(f"\n- {failure['run']}: {failure['reason']}" for failure in results["failed"])
    return f"{markdown_table(*cells(results))}\n\n{note(results)}\n" + (f"\nFailed:\n{failed}\n" if failed else "")


def as_csv(results):
    """One line for each row of the table, plain numbers, what is missing left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [*results["axes"], *CSV_COLUMNS, *(TOGETHER if "together" in results else ())]
    writer.writerow(columns)
    for row in results["rows"]:
        low, high = row["interval"] or (None, None)
        together = {name: (row.get("together") or {}).get(key) for name, key in TOGETHER.items()}
        flat = {**row, "interval_low": low, "interval_high": high, **together}
        writer.writerow([flat[name] for name in columns])
    return text.getvalue()


def note(results):
    together = TOGETHER_NOTE.format(results["together"]) if "together" in results else ""
    return NOTE.format(seeds=", ".join(map(str, results["seeds"]))) + together


def cells(results):
    """(headings, rows, alignment) of the table."""
    axes = results["axes"]
    rows = [[*(row[axis] for axis in axes), *figures(row)] for row in results["rows"]]
    headings, align = [*axes, *HEADINGS], "<" * len(axes) + ">" * len(HEADINGS)
    if "together" in results:
        place = len(axes) + HEADINGS.index("test accuracy") + 1
        headings.insert(place, f"{results['together']} together")
        align += ">"
        for row, cell in zip(results["rows"], rows):
            cell.insert(place, of_groups(row["together"]) if "together" in row else MISSING)
    return headings, rows, align


def of_groups(together):
    """ "97.72 ± 0.05 %", with the groups of seeds that it is of where some are missing."""
    known, planned = together["groups"], together["planned"]
    return percent(together, "accuracy") + (f" ({known} of {planned})" if 0 < known < planned else "")


def figures(row):
    """The cells under HEADINGS."""
    seeds = MISSING if row["planned"] is None else str(row["seeds"]) if row["seeds"] == row["planned"] else f"{row['seeds']} of {row['planned']}"
    low_high = MISSING if row["interval"] is None else f"{100 * row['interval'][0]:.2f} to {100 * row['interval'][1]:.2f} %"
    seconds = MISSING if row["seconds"] is None else f"{row['seconds']:.1f} s"
    memory = MISSING if row["peak_memory_bytes"] is None else f"{row['peak_memory_bytes'] / 2**20:,.0f} MiB"
    return [seeds, percent(row, "mean"), low_high, percent(row, "macro_f1"), percent(row, "validation"), seconds, memory]


def percent(row, name):
    """ "97.30 ± 0.32 %", or without a spread where there is none."""
    mean, spread = row[name], row[f"{name}_spread"]
    if mean is None:
        return MISSING
    return f"{100 * mean:.2f} %" if spread is None else f"{100 * mean:.2f} ± {100 * spread:.2f} %"
