"""The findings of the command doctor as text for a terminal."""

from collections.abc import Callable, Sequence
from typing import Any

from engine.benchmark.machine import dotted_version
from engine.cuda.doctor_findings import Findings, has_no_gpu, is_known
from engine.cuda.kernel_check import kernel_table, refusals
from engine.support.command import install_extra


def as_text(findings: Findings) -> str:
    """The findings for a terminal: a line each, messages of compilers, and remedies.

    Where there is something of a GPU, also all that it needs, and the kernels as a table; so where one is refused.
    """
    machine = findings["machine"]
    facts = [
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("memory", f"{gibibytes(findings['memory_free_bytes'])} free of {gibibytes(machine['memory_bytes'])}"),
        ("Python", machine["python"]),
        ("NumPy", f"{machine['numpy']}, {machine['blas']}"),
        (
            "implementation",
            f"{in_words(findings['implementation'])}, functions in C: {in_words(findings['c_functions'])}",
        ),
        ("cache folder", in_words(findings["cache"], cache_text)),
        ("missing extras", in_words(findings["missing_extras"], extras_text)),
    ]
    if has_no_gpu(findings):
        facts += [("GPU", f"none ({findings['driver']['missing']})"), ("kernels", kernel_counts(findings["kernels"]))]
    else:
        facts += gpu_facts(findings)
    lines = listed(facts)
    if not has_no_gpu(findings) or findings["ok"] is False:
        lines += ["", kernel_table(findings["kernels"])]
    for row, name, verdict in refusals(findings["kernels"]):
        lines += ["", f"{row['file']} ({row['dtype']}), refused by {name}:"]
        lines += [f"  {line}" for line in verdict.splitlines()]
    lines += ["", "what to do:" if findings["remedies"] else "nothing is missing"]
    return "\n".join([*lines, *(f"  - {line}" for line in findings["remedies"])])


def listed(facts: Sequence[tuple[str, str]]) -> list[str]:
    """(name, value) as lines."""
    width = max(len(name) for name, _ in facts)
    return [f"{name:{width}}  {value}" for name, value in facts]


def gpu_facts(findings: Findings) -> list[tuple[str, str]]:
    """(name, value) of what a GPU needs."""
    device = findings["device"]
    driver = in_words(findings["driver"], lambda version: f"up to CUDA {dotted_version(version)}")
    if is_known(findings["driver_release"]):
        driver = f"{findings['driver_release']}, {driver}"
    packages = f" ({', '.join(findings['cupy_packages'])})" if findings["cupy_packages"] else ""
    return [
        ("CuPy", in_words(findings["cupy"]) + packages),
        ("CUDA driver", driver),
        ("CUDA runtime", in_words(findings["runtime"], dotted_version)),
        ("device", in_words(device, lambda d: f"{d['name']}, {d['architecture']}, {d['devices']} in all")),
        ("device memory", memory_text(device) if is_known(device) else "-"),
        *((name, in_words(found)) for name, found in findings["libraries"].items() if is_known(device)),
        ("--device auto", "cuda" if is_known(device) else "cpu"),
        *((f"compiler {kind}", in_words(found)) for kind, found in findings["compilers"].items()),
    ]


def gibibytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 2**30:.1f} GiB"


def cache_text(cache: Findings) -> str:
    """The cache folder with its size."""
    return f"{cache['folder']}, {gibibytes(cache['bytes'])}; {gibibytes(cache['free_bytes'])} free"


def extras_text(extras: dict[str, list[str]]) -> str:
    """The extras of which a package is missing, and the command that installs them all."""
    names = [extra for extra, packages in extras.items() if packages]
    return f"{', '.join(names)}: {install_extra(','.join(names))}" if names else "none"


def kernel_counts(rows: Sequence[Findings]) -> str:
    """How many kernels compile, and by what, in a line."""
    found = [(name, verdict) for row in rows for name, verdict in row["compiled"].items()]
    if not found:
        return "not checked (no compiler; only a GPU needs them)"
    good = len(found) - len(refusals(rows))
    return f"{good} of {len(found)} compile ({', '.join(dict(found))})"


def memory_text(device: Findings) -> str:
    """Free and total memory of a device."""
    free, total = (f"{device[key] / 2**30:.1f} GiB" for key in ("memory_free_bytes", "memory_total_bytes"))
    return f"{free} free of {total}"


def in_words(finding: Any, form: Callable[[Any], str] = str) -> str:
    """A finding as text: by `form`, or why it is missing."""
    return form(finding) if is_known(finding) else f"- ({finding['missing']})"
