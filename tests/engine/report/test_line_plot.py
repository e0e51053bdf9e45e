"""Pictures of lines over logarithmic axes."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from engine.report.figures import LOOKS, plain, require_plots
from engine.report.line_plot import Level, Panel, decades, draw_line_plot, ticks, write_line_plot
from engine.support.errors import UserError

X = np.array([1.0, 1e3, 1e6])


def picture(*lines, levels=()):
    """(figure, axes) of panels with these lines."""
    figure = draw_line_plot(
        X,
        [Panel(f"panel {n}", {f"line {m}": y for m, y in enumerate(ys)}) for n, ys in enumerate(lines)],
        "x",
        "y",
        levels,
    )
    return figure, figure.axes


def test_both_axes_are_logarithmic_and_panels_share_them():
    figure, (upper, lower) = picture([[1e-7, 1e-3, 1.0]], [[1.0, 10.0, 1e5]])
    assert upper.get_xscale() == upper.get_yscale() == "log"
    assert upper.get_ylim() == lower.get_ylim() == (1e-7, 1e5)
    assert (upper.get_title(), lower.get_title()) == ("panel 0", "panel 1")
    assert (upper.get_xlabel(), lower.get_xlabel(), figure.get_supylabel()) == ("", "x", "y")


def test_a_panel_can_name_an_axis_of_its_own():
    panels = [
        Panel("a", {"line": [1.0]}, [1.0], x_label="lengths"),
        Panel("b", {"line": [1.0]}, [2.0], x_label="sizes"),
    ]
    figure = draw_line_plot(None, panels, "", "y", ())
    assert [axes.get_xlabel() for axes in figure.axes] == ["lengths", "sizes"]


def test_panels_stand_one_below_the_other():
    """Letters stay as large as in a single panel, however many there are."""
    figure, axes = picture([[1.0, 1.0, 1.0]], [[1.0, 1.0, 1.0]], [[1.0, 1.0, 1.0]])
    assert figure.get_figwidth() == picture([[1.0, 1.0, 1.0]])[0].get_figwidth()
    assert [one.get_subplotspec().rowspan.start for one in axes] == [0, 1, 2]


def test_numbers_that_are_not_finite_are_crosses():
    """They lie on the upper rim, and the legend names them."""
    figure, (axes,) = picture([[1e-7, np.nan, np.inf]])
    line, crosses = axes.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [1e-7, np.nan, np.nan])
    assert crosses.get_xdata().tolist() == [1e3, 1e6] and set(crosses.get_ydata()) == {axes.get_ylim()[1]}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["line 0", "NaN or infinite"]


def test_a_zero_lies_on_the_lower_rim():
    """Without crosses the legend does not explain any."""
    figure, (axes,) = picture([[0.0, 1e-3, 1.0]])
    (line,) = axes.get_lines()
    assert line.get_ydata()[0] == axes.get_ylim()[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["line 0"]


def test_levels_are_drawn_with_their_words():
    _, (axes,) = picture([[1.0, 1.0, 1.0]], levels=[Level(1e-8, "rounding")])
    assert [text.get_text() for text in axes.texts] == ["rounding"] and axes.get_ylim()[0] < 1e-8


def test_lines_differ_in_colour_marker_and_dash():
    assert all(len(set(kind)) == len(LOOKS) for kind in zip(*LOOKS))
    _, (axes,) = picture([[1.0, 1.0, 1.0]] * 3)
    assert len({(line.get_color(), line.get_marker()) for line in axes.get_lines()}) == 3


@pytest.mark.parametrize(
    "lines, expected", [([[1e-7, 20.0]], (-7, 2)), ([[0.0, np.nan], [np.inf]], (0, 1)), ([[10.0]], (1, 1))]
)
def test_decades_hold_all_positive_numbers(lines, expected):
    assert decades([np.array(line) for line in lines]) == expected


@pytest.mark.parametrize(
    "value, text",
    [
        (0.6, "0.6"),
        (0.0, "0"),
        (20.0, "20"),
        (1e3, "1,000"),
        (3e-5, "0.00003"),
        (-0.5, "−0.5"),
        (0.1 + 0.2, "0.3"),
        (1e-9, "1e-09"),
    ],
)
def test_numbers_on_axes_are_plain(value, text):
    assert plain(value) == text


@pytest.mark.parametrize("lowest, highest", [(0, 18), (-9, 12), (-1, 1), (3, 3), (-300, 300)])
def test_ticks_are_few_and_evenly_spaced(lowest, highest):
    exponents = np.round(np.log10(ticks(lowest, highest))).astype(int)
    assert 1 <= len(exponents) <= 9 and lowest <= exponents[0] and exponents[-1] <= highest
    assert len(set(np.diff(exponents))) <= 1


def test_a_users_own_style_changes_nothing(tmp_path):
    import matplotlib

    for name, own in (
        ("a.svg", {}),
        ("b.svg", {"axes.facecolor": "black", "axes.labelcolor": "red", "xtick.major.size": 9}),
    ):
        with matplotlib.rc_context(own):
            write_line_plot(tmp_path / name, X, [Panel("t", {"a": [1, 2, 3]})], "x", "y")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_the_old_picture_stays_when_the_new_one_fails(tmp_path, monkeypatch):
    (tmp_path / "a.svg").write_text("old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(UserError, match="a.svg: cannot be written .No space left"):
        write_line_plot(tmp_path / "a.svg", X, [Panel("t", {"a": [1, 2, 3]})], "x", "y")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"] and (tmp_path / "a.svg").read_text() == "old"


def test_unknown_formats_are_named():
    with pytest.raises(UserError, match="^a.pdf: .*.svg or .png"):
        require_plots("a.pdf")
    require_plots("a.SVG")


def test_places_where_no_picture_can_be_are_named(tmp_path):
    (tmp_path / "b.svg").mkdir()
    for name, reason in (
        ("none/a.svg", "its folder does not exist"),
        ("b.svg/a.svg/c.svg", "its folder does not exist"),
        ("b.svg", "it is a folder"),
    ):
        with pytest.raises(UserError, match=f"^{tmp_path / name}: cannot be written .{reason}.; choose a file"):
            require_plots(tmp_path / name)


def test_a_panel_may_have_its_own_x():
    panels = [Panel("a", {"line": [1.0, 2.0]}, [1.0, 1e3]), Panel("b", {"line": [1.0, 2.0, 3.0]}, [10.0, 1e2, 1e6])]
    upper, lower = draw_line_plot(None, panels, "x", "y", ()).axes
    assert [line.get_xdata().tolist() for axes in (upper, lower) for line in axes.get_lines()] == [
        [1.0, 1e3],
        [10.0, 1e2, 1e6],
    ]
    assert upper.get_ylim() == lower.get_ylim() and upper.get_xlim() != lower.get_xlim()


def test_panels_of_different_units_have_their_own_scales():
    panels = [
        Panel(name, {"line": [low, 10 * low, 50 * low], "shorter": [2 * low]}, y_label=name)
        for name, low in zip("abcd", (1.0, 1e4, 1e9, 1e-3))
    ]
    axes = draw_line_plot(X, panels, "x", "y", ()).axes
    assert [one.get_ylim() for one in axes] == [(1.0, 100.0), (1e4, 1e6), (1e9, 1e11), (1e-3, 0.1)]
    assert [one.get_ylabel() for one in axes] == list("abcd")
    assert [one.get_xlabel() for one in axes] == ["", "", "", "x"]
    assert axes[0].get_lines()[1].get_xdata().tolist() == [1.0]


def test_a_panel_of_one_power_of_ten_has_a_scale():
    (axes,) = draw_line_plot(X, [Panel("a", {"line": [10.0, 10.0, 10.0]}, y_label="unit")], "x", "y", ()).axes
    assert axes.get_ylim() == (10.0, 100.0)


def test_ticks_may_be_chosen_and_are_written_out():
    (axes,) = draw_line_plot(X, [Panel("a", {"line": [1.0, 1.0, 1.0]})], "x", "y", (), [2, 4096]).axes
    assert axes.get_xticks().tolist() == [2, 4096] and [text.get_text() for text in axes.get_xticklabels()] == [
        "2",
        "4,096",
    ]
