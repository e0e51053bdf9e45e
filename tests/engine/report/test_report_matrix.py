"""The confusion matrix shows every count that it can, and classes of any number and name."""

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[plots]'")

from engine.report.confusion_matrix import MOST_CLASSES, OTHERS, draw_matrix, shown_classes
from engine.report.figures import svg_text, width_of

COUNTS = np.array([[7, 3, 0], [1, 120, 0], [0, 0, 0]])


def numbers_of(figure):
    """{(true, predicted): what is written there}."""
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in figure.axes[0].texts
    }


def counts_of(classes, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, (classes, classes)) * rng.integers(0, 2, (classes, classes)) + np.diag(
        rng.integers(900, 3000, classes)
    )


def test_colours_are_shares_and_numbers_counts():
    """Shares are those of the true class."""
    figure = draw_matrix(["a", "b", "c"], COUNTS)
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.7, 0.3, 0], [1 / 121, 120 / 121, 0], [0, 0, 0]])
    assert numbers_of(figure) == {(0, 0): "7", (0, 1): "3", (1, 0): "1", (1, 1): "120"}
    assert (
        [text.get_text() for text in axes.get_yticklabels()]
        == [text.get_text() for text in axes.get_xticklabels()]
        == ["a", "b", "c"]
    )
    assert axes.get_ylabel() == "true class" and axes.get_xlabel() == "predicted class"
    assert axes.yaxis_inverted()  # the first class on top


@pytest.mark.parametrize("classes", [2, 8, 20, MOST_CLASSES])
def test_names_and_numbers_are_readable_and_fit(classes):
    figure = draw_matrix([f"talk.politics.number{row}" for row in range(classes)], counts_of(classes))
    figure.draw_without_rendering()
    axes, whole = figure.axes[0], figure.bbox
    width, height = (72 / figure.dpi * side / classes for side in axes.bbox.size)
    assert width == pytest.approx(height) and width >= 13
    assert len(axes.texts) >= classes and all(text.get_size() >= 4.5 for text in axes.texts)
    for text in axes.texts:
        assert text.get_window_extent().width * 72 / figure.dpi <= width
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]:
        box = label.get_window_extent()
        assert label.get_size() >= 6.5 and box.x0 >= whole.x0 and box.y0 >= whole.y0 and box.x1 <= whole.x1 + 1
    tall = max(label.get_window_extent().height for label in axes.get_yticklabels())
    assert tall * 72 / figure.dpi <= height


def test_numbers_that_do_not_fit_are_left_out():
    classes = MOST_CLASSES
    figure = draw_matrix([str(row) for row in range(classes)], np.diag(np.arange(classes) + 10**6 - 26))
    assert sorted(numbers_of(figure).values()) == []
    assert sorted(numbers_of(draw_matrix(["a", "b"], np.diag([10**6, 0]))).values()) == ["1000000"]


def test_too_many_classes_are_merged():
    """Those confused most are shown in their order, the rest as one, and all texts are counted."""
    classes = MOST_CLASSES + 5
    confusion = np.diag(np.full(classes, 100))
    busy = [row for row in range(classes) if row not in (3, 4, 10, 30, 55, 56)]
    for row in busy:
        confusion[row, busy[0]] += 2
    confusion[3, 4] = 1
    names, shown = shown_classes([f"c{row}" for row in range(classes)], confusion)
    assert names == [*(f"c{row}" for row in busy), OTHERS] and shown.shape == (MOST_CLASSES, MOST_CLASSES)
    assert shown.sum() == confusion.sum() and shown[:-1, :-1].tolist() == confusion[np.ix_(busy, busy)].tolist()
    assert shown[-1, -1] == 601 and shown[-1, :-1].sum() == shown[:-1, -1].sum() == 0
    same, all_of_them = shown_classes(["a", "b", "c"], COUNTS)
    assert same == ["a", "b", "c"] and all_of_them is COUNTS


@pytest.mark.filterwarnings("error")
def test_names_of_any_kind_stay_letters():
    names = ["$\\frac{$", "_x", "政治", "a & <b>", "tab\there", "x" * 99]
    text = svg_text(lambda: draw_matrix(names, counts_of(6)))
    for shown in ("$\\frac{$", "_x", "政治", "a &amp; &lt;b&gt;", "tab here", "x" * 27 + "…"):
        assert text.count(f">{shown}</text>") == 2, shown


def test_wide_letters_get_more_room():
    assert width_of("ab", 10) == pytest.approx(12) and width_of("政治", 10) == pytest.approx(21)
    narrow, wide = (draw_matrix([name * 9, "a"], np.eye(2, dtype=int)) for name in ("x", "政"))
    assert wide.get_figwidth() > narrow.get_figwidth() + 0.4
