"""The figures of the kernels that need no GPU."""

from tests.support.kernel_report import step_of_paper, worst_errors


def test_float32_is_within_two_roundings_of_float64(emulation_folder, record_property):
    record_property("emulated", True)
    worst = worst_errors(emulation_folder, widths=(3, 33))
    assert len(worst) == 7
    for name, of_pair in worst.items():
        assert max(of_pair["float32"]) <= 2 * 2.0**-24 and max(of_pair["float64"]) <= 5e-15, (name, of_pair)


def test_a_step_of_the_papers_network_fits_into_its_memory(emulation_folder):
    peak, launches = step_of_paper(emulation_folder)
    assert 320e6 < peak < 450e6
    assert sum(launches.values()) < 50 and launches["adamw_tensors"] == launches["adamw_rows"] == 1
