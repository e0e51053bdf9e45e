"""Calibration against the definition of the expected calibration error, and the diagram against the numbers."""

import numpy as np
import pytest

from engine.report.calibration import draw_reliability
from engine.training.calibration import BINS, calibrate


@pytest.mark.parametrize(
    "right, probability, error",
    [
        ([], [], 0),
        ([1, 1], [1, 1], 0),
        ([0, 0], [1, 1], 1),
        ([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5], 0),
        # Two bins: (0.9 + 0.91)/2 beside 1/2, and 0.3 beside 1; weights 2/3 and 1/3.
        ([1, 0, 1], [0.9, 0.91, 0.3], 2 / 3 * (0.905 - 0.5) + 1 / 3 * 0.7),
        # Opposite errors do not cancel between bins.
        ([1, 0], [0.6, 0.9], 0.5 * 0.4 + 0.5 * 0.9),
    ],
)
def test_the_error_by_hand(right, probability, error):
    found = calibrate(np.array(right, bool), np.array(probability, float))
    assert found.error == pytest.approx(error) and sum(one.texts for one in found.bins) == len(right)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_error_is_that_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    probability, right = rng.uniform(0, 1, 200), rng.uniform(0, 1, 200) < 0.7
    error = 0.0
    for b in range(1, BINS + 1):
        inside = (probability > (b - 1) / BINS) & (probability <= b / BINS)
        if inside.any():
            error += inside.sum() / 200 * abs(right[inside].mean() - probability[inside].mean())
    found = calibrate(right, probability)
    assert found.error == pytest.approx(error)
    assert (found.probability, found.accuracy) == pytest.approx((probability.mean(), right.mean()))


@pytest.mark.parametrize(
    "probability, number", [(0.0, 0), (1 / BINS, 0), (1.001 / BINS, 1), (0.5, BINS // 2), (1.0, BINS - 1)]
)
def test_the_upper_edge_belongs_to_a_bin(probability, number):
    bins = calibrate(np.array([True]), np.array([probability])).bins
    assert [one.texts for one in bins] == [int(b == number) for b in range(BINS)]
    assert bins[number].low <= probability <= bins[number].high and bins[number].accuracy == 1


def test_the_diagram_shows_bins_that_hold_texts():
    """Heights are shares that are right; empty bins have no bar, so that none looks like one that is always wrong."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[plots]'")
    right, probability = np.array([True, False, True, False]), np.array([0.95, 0.96, 0.5, 0.05])
    upper, lower = draw_reliability(calibrate(right, probability)).axes
    assert [bar.get_height() for bar in upper.patches] == [0, 100, 50]
    assert [bar.get_height() for bar in lower.patches] == [1, 1, 2]
    assert [bar.get_x() for bar in upper.patches] == pytest.approx([0, 700 / BINS, 1400 / BINS])
    means, ideal = upper.get_lines()
    np.testing.assert_allclose(means.get_xydata(), [[5, 0], [50, 100], [95.5, 50]])
    assert ideal.get_xydata().tolist() == [[0, 0], [100, 100]]
