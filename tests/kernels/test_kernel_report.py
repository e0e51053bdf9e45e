"""The figures of the equation book that need no GPU."""

from tests.support import kernel_report

REPORT = vars(kernel_report)


def test_kernels_of_float32_are_within_two_roundings_of_float64(emulation_folder, record_property):
    record_property("emulated", True)
    worst = REPORT["worst_errors"](emulation_folder, widths=(3, 33))
    assert len(worst) == 6
    for name, of_file in worst.items():
        assert max(of_file["float32"]) <= 2 * 2.0**-24 and max(of_file["float64"]) <= 5e-15, (name, of_file)


def test_a_step_of_the_papers_network_fits_into_its_memory(emulation_folder):
    peak, launches = REPORT["step_of_paper"](emulation_folder)
    assert 320e6 < peak < 450e6
    assert sum(launches.values()) < 50 and launches["adamw_tensors"] == launches["adamw_rows"] == 1
