"""The line at the end of a test run that says on what kernels ran: on a device, by emulation, or not at all."""

from engine.arrays.backend import why_no_cuda
from engine.benchmark.machine import decoded_name


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.stats.get("passed", [])
    reason = why_no_cuda()
    line = no_gpu_line(reason, reports) if reason else gpu_line(device_name(), reports)
    terminalreporter.write_sep("=", "NO GPU" if reason else "GPU", bold=True, yellow=bool(reason), green=not reason)
    terminalreporter.write_line(line, yellow=bool(reason), green=not reason)


def no_gpu_line(reason, reports):
    """What was done instead, as far as it was done in this run."""
    compilers = sorted({value for report in reports for name, value in report.user_properties if name == "compiled_by"})
    emulated = sum(any(name == "emulated" for name, _ in report.user_properties) for report in reports)
    compiled = (
        f"Kernels were compiled by {' and '.join(compilers)}" if compilers else "No kernel was compiled for a device"
    )
    executed = (
        f"{counted(emulated)} executed kernels on the CPU by emulation (g++)"
        if emulated
        else "none was executed by emulation"
    )
    return f"NO GPU: {reason}. {compiled}; {executed}; nothing ran on a device."


def gpu_line(device, reports):
    """How many tests ran on the device."""
    count = sum("gpu" in report.keywords for report in reports)
    if count == 0:
        return f"GPU: {device} is there, but no test marked gpu ran on it."
    return f"GPU: {counted(count)} marked gpu passed on {device}."


def counted(tests):
    return f"{tests} test{'s' * (tests > 1)}"


def device_name():
    import cupy

    return decoded_name(cupy.cuda.runtime.getDeviceProperties(0))
