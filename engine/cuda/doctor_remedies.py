"""Remedies for the findings of the command doctor: packages to install, variables to set."""

from engine.benchmark.machine import dotted_version
from engine.compiled.c_file import VARIABLE
from engine.compiled.compiler import NO_COMPILER
from engine.cuda.doctor_findings import Findings, has_no_gpu, is_known
from engine.support.command import install_extra

CUDA_13 = 13_000  # versions as CUDA counts them: 1000·major + 10·minor
NO_DEVICE = "a driver and CuPy, but no device: nvidia-smi must list one, and CUDA_VISIBLE_DEVICES must not hide it"
REFUSED = (
    "a kernel is refused, an error of this program: please report this text; WAVE_IMPLEMENTATION=equations computes "
    "without kernels"
)


def remedies(findings: Findings) -> list[str]:
    """Lines that say what to install or set, in the order in which to do it."""
    lines = compiler_of_c(findings)
    driver, packages = findings["driver"], findings["cupy_packages"]
    old_driver = is_known(driver) and driver < CUDA_13
    extra = "cuda12" if old_driver else "cuda13"
    own_package = packages[0] if packages else f"cupy-{extra}x"
    install = install_extra(extra)
    other_way = f"with a driver below 580: {install_extra('cuda12')}"
    if is_known(driver):
        other_way = f"the driver supports CUDA {dotted_version(driver)}"
    if has_no_gpu(findings):
        needed = "its driver, 580 or newer (in Docker with --gpus all)"
        lines.append(f"for an NVIDIA GPU: {needed}, and {install}  ({other_way})")
        return lines + refused(findings)
    if not is_known(driver):
        newer = "580 or newer for CUDA 13, 525 or newer for CUDA 12"
        lines.append(f"{driver['missing']}: for an NVIDIA GPU install its driver ({newer}); in Docker add --gpus all")
    if not is_known(findings["cupy"]) and not packages:
        lines.append(f"no CuPy: {install}  ({other_way})")
    elif len(packages) > 1:
        lines.append(f"{' and '.join(packages)} exclude each other: pip uninstall {' '.join(packages)}, then {install}")
    elif not is_known(findings["cupy"]):
        lines.append(f"CuPy is broken: pip uninstall {packages[0]}, then {install}  ({other_way})")
    elif is_known(findings["runtime"]) and is_known(driver) and findings["runtime"] // 1000 > driver // 1000:
        change = f"pip uninstall {' '.join(packages)}, then {install}; or a newer driver"
        lines.append(f"CuPy is for CUDA {dotted_version(findings['runtime'])}, {other_way}: {change}")
    elif not is_known(findings["compilers"]["NVRTC"]):
        lines.append(f"CuPy finds no compiler for kernels: pip install '{own_package}[ctk]'")
    elif is_known(findings["device"]) and not all(map(is_known, findings["libraries"].values())):
        lines.append(f"CuPy lacks a library of CUDA: pip install '{own_package}[ctk]'")
    elif is_known(driver) and not is_known(findings["device"]):
        lines.append(NO_DEVICE)
    if not any(is_known(name) for name in findings["compilers"].values()):
        lines.append("no compiler, so no kernel was checked: pip install nvidia-cuda-nvrtc (needs no GPU)")
    return lines + refused(findings)


def compiler_of_c(findings: Findings) -> list[str]:
    """A line on the C compiler, where functions in C are wanted and there is none that compiles them."""
    found = findings["c_functions"]
    if is_known(found) or found["missing"] == f"{VARIABLE}=off":
        return []
    if found["missing"] != NO_COMPILER:
        return [f"functions in C, with which training is faster: {found['missing']}"]
    return [f"{NO_COMPILER}, with which training is faster: install gcc or clang, or {install_extra('compiled')}"]


def refused(findings: Findings) -> list[str]:
    """Lines on a wrong mode of kernels, and on kernels that are refused."""
    lines: list[str] = []
    if not is_known(findings["implementation"]):
        lines.append(findings["implementation"]["missing"])
    elif findings["implementation"] == "equations":
        lines.append("WAVE_IMPLEMENTATION=equations: kernels are not used on a device; unset it")
    if findings["ok"] is False:
        lines.append(REFUSED)
    return lines
