"""Pictures of a study: what they show, for whole studies and for what is left of them."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from engine.report.figures import LOOKS, write_picture
from engine.report.series import running_median
from engine.support.errors import UserError
from layers.experiments.study.figures import (
    CELLS,
    color_limit,
    draw_convergence,
    draw_correlation_maps,
    draw_gradients,
    draw_independence,
    draw_waves,
    thinned,
    write_figures,
)

NAMES = ("interference", "modulation", "transformer")


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def medians(axes):
    """The strong lines: those with a dash."""
    return [line for line in axes.get_lines() if line.get_linestyle() != "None"]


def test_convergence_shows_points_running_medians_and_validation(make_study):
    study = make_study(steps=40)
    figure = draw_convergence(study)
    left, right = figure.axes
    assert (left.get_yscale(), right.get_yscale()) == ("log", "linear") and right.get_ylim() == (-2, 104)
    assert [line.get_color() for line in medians(left)] == [look[0] for look in LOOKS[:3]]
    for line, run in zip(medians(left), study["runs"].values()):
        np.testing.assert_array_equal(line.get_ydata(), running_median(np.array(run["loss"]), 7))
    marks = [line for line in right.get_lines() if line.get_linestyle() == "None"]
    for line, run in zip(marks, study["runs"].values()):
        np.testing.assert_allclose(line.get_ydata(), [100 * entry["accuracy"] for entry in run["validation"]])
    assert legend_of(figure) == [*NAMES, "validation", "single step", "running median of 7 steps"]
    study["runs"]["modulation"]["validation"][0]["loss"] = 1e3
    lowest = min(min(run["loss"]) for run in study["runs"].values())
    assert draw_convergence(study).axes[0].get_ylim() == (lowest / 1.5, 1.5e3)


def test_points_lie_in_the_order_of_steps(make_study):
    """So no run hides another."""
    study = make_study(steps=12)
    (points,) = draw_convergence(study).axes[0].collections
    x, y = points.get_offsets().T
    assert x.tolist() == np.repeat(np.arange(1, 13), 3).tolist()
    np.testing.assert_array_equal(y, np.ravel([run["loss"] for run in study["runs"].values()], order="F"))
    assert len({tuple(color) for color in points.get_facecolors()[:3]}) == 3 and points.get_rasterized()


def test_gradients_share_limits(make_study):
    """Dashed lines lie above solid ones."""
    study = make_study(steps=40)
    figure = draw_gradients(study)
    norms = [
        run[key] for run in study["runs"].values() for key in ("gradient_cls", "gradient_input", "gradient_classifier")
    ]
    assert len(figure.axes) == 3 and {axes.get_ylim() for axes in figure.axes} == {
        (np.min(norms) / 1.5, np.max(norms) * 1.5)
    }
    lines = medians(figure.axes[0])
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 3
    assert all((line.get_zorder() < 4) == (line.get_linestyle() == "-") for line in lines)
    assert "no finite number" not in legend_of(figure) and "zeros lie on the lower rim" not in legend_of(figure)


def test_zeros_and_missing_numbers_lie_on_the_rims(make_study):
    """The legend explains them."""
    study = make_study(steps=8)
    study["runs"]["modulation"]["gradient_cls"] = [0] * 8
    study["runs"]["transformer"]["gradient_cls"][2:4] = [None, float("inf")]
    figure = draw_gradients(study)
    axes = figure.axes[0]
    bottom, top = axes.get_ylim()
    assert medians(axes)[1].get_ydata().tolist() == [bottom] * 8
    assert axes.collections[0].get_offsets()[1::3, 1].tolist() == [bottom] * 8
    (crosses,) = (line for line in axes.get_lines() if line.get_marker() == "x")
    assert (
        crosses.get_xdata().tolist() == [3, 4]
        and set(crosses.get_ydata()) == {top}
        and crosses.get_color() == LOOKS[2][0]
    )
    assert legend_of(figure)[-2:] == ["no finite number", "zeros lie on the lower rim"]


def test_independence_step_by_step(make_study):
    study = make_study(steps=40)
    left, right = draw_independence(study).axes
    assert left.get_lines()[1].get_xydata()[:, 0].tolist() == [0, 10, 20, 40]
    expected = [entry["effective_rank"] for entry in study["runs"]["modulation"]["independence"]]
    assert right.get_lines()[1].get_ydata().tolist() == expected and left.get_ylim()[0] == 0
    ranks = [entry["effective_rank"] for run in study["runs"].values() for entry in run["independence"]]
    assert min(ranks) > right.get_ylim()[0] > 0 and right.get_ylim()[1] > max(ranks)  # else lines lie on the rim


def test_maps_show_before_and_after_in_one_scale(make_study, make_matrices):
    matrices = make_matrices(d=12)
    figure = draw_correlation_maps(make_study(steps=8), matrices)
    maps = figure.axes[:6]
    for place, axes in enumerate(maps):
        shown, matrix = axes.images[0].get_array(), matrices[NAMES[place // 2]][place % 2]
        assert np.ma.getmaskarray(np.ma.masked_invalid(shown)).tolist() == np.eye(12, dtype=bool).tolist()
        np.testing.assert_array_equal(np.asarray(shown)[~np.eye(12, dtype=bool)], matrix[~np.eye(12, dtype=bool)])
        assert f"mean |r| = {abs(matrix[~np.eye(12, dtype=bool)]).mean():.3g}" in axes.get_title()
    assert "modulation, before training" in maps[2].get_title() and "effective rank 240.0" in maps[2].get_title()
    assert "modulation, after training" in maps[3].get_title() and "effective rank 114.0" in maps[3].get_title()
    (limits,) = {axes.images[0].get_clim() for axes in maps}
    assert limits[0] == -limits[1] and f"±{limits[1]:g}" in figure.axes[6].get_xlabel()


def test_large_maps_show_some_dimensions_as_they_are():
    matrix = np.random.default_rng(0).standard_normal((3 * CELLS + 7, 3 * CELLS + 7))
    small = thinned(matrix)
    chosen = [np.argwhere(matrix == small[0, k])[0][1] for k in range(1, CELLS)]
    assert small.shape == (CELLS, CELLS) and set(np.diff(chosen)) <= {3, 4} and np.isnan(small.diagonal()).all()


@pytest.mark.parametrize(
    "size, limit",
    [(0.123, 0.13), (0.04, 0.04), (0.00456, 0.0046), (1.0, 1.0), (1e-9, 1.0), (0.0, 1.0)],
)
def test_colours_end_just_above_nearly_all_correlations(size, limit):
    matrix = np.full((30, 30), size)
    matrix[0, 1] = 0.9  # a single one
    np.fill_diagonal(matrix, np.nan)
    assert color_limit([matrix]) == pytest.approx(limit, rel=0.03)
    assert color_limit([np.full((1, 1), np.nan)]) == 1


def test_waves_before_and_after(make_study):
    study = make_study(steps=8)
    figure = draw_waves(study)
    assert len(figure.axes) == 4
    before, after = figure.axes[2].patches
    counts = [study["runs"]["modulation"]["waves"][end]["phase"] for end in (0, -1)]
    np.testing.assert_allclose(before.get_data().values, 100 * np.array(counts[0]) / sum(counts[0]))
    np.testing.assert_allclose(after.get_data().values, 100 * np.array(counts[1]) / sum(counts[1]))
    assert legend_of(figure) == ["at step 0", "interference, at step 8", "modulation, at step 8"]
    for run in study["runs"].values():
        run["waves"] = run["waves"][:1]
    figure = draw_waves(study)
    assert [len(axes.patches) for axes in figure.axes] == [1] * 4 and legend_of(figure) == ["at step 0"]
    with pytest.raises(ValueError, match="^study: "):
        draw_waves(make_study(("transformer",), 8))


def test_the_same_study_gives_the_same_files_none_of_them_large(written, tmp_path):
    study, matrices, paths = written
    assert list(paths) == ["convergence.svg", "gradients.svg", "correlations.svg", "independence.svg", "waves.svg"]
    assert all(path.name == name and path.stat().st_size < 500_000 for name, path in paths.items())
    assert len(next(iter(matrices.values()))[0]) > CELLS  # more dimensions make no larger file
    write_picture(tmp_path / "again.svg", lambda: draw_convergence(study))
    assert paths["convergence.svg"].read_bytes() == (tmp_path / "again.svg").read_bytes()


@pytest.mark.filterwarnings("error")
def test_a_single_run_of_a_single_step_can_be_drawn(make_study, make_matrices, tmp_path):
    """So can one of which almost nothing was recorded."""
    study = make_study(("modulation",), 1)
    figures = [draw(study) for draw in (draw_gradients, draw_independence, draw_waves)]
    assert [len(figure.axes) for figure in figures] == [3, 2, 2]
    draw_correlation_maps(study, make_matrices(("modulation",), 1)).draw_without_rendering()
    study["runs"]["modulation"] |= {
        "waves": [],
        "validation": [],
        "independence": [],
        "loss": [None],
        "gradient_cls": [0],
    }
    assert list(write_figures(tmp_path, study, {}, ("png",))) == ["convergence.png", "gradients.png"]


@pytest.mark.parametrize(
    "matrices, message",
    [
        ({"other": (np.eye(2), np.eye(2))}, "'other' is no run"),
        ({"modulation": (np.eye(2),)}, "expected .before, after."),
        ({"modulation": (np.eye(2), np.ones((2, 3)))}, "square"),
        ({"modulation": (np.eye(2), np.full((2, 2), np.nan))}, "finite"),
    ],
)
def test_bad_matrices_are_named(make_study, tmp_path, matrices, message):
    with pytest.raises(ValueError, match=f"^matrices.*{message}"):
        write_figures(tmp_path, make_study(steps=2), matrices)


def test_damaged_studies_and_unknown_kinds_are_refused(make_study, tmp_path):
    """Nothing is written then."""
    with pytest.raises(UserError, match="^study.json: "):
        write_figures(tmp_path, {"runs": {}}, {})
    with pytest.raises(UserError, match="convergence.pdf: .*.svg or .png"):
        write_figures(tmp_path, make_study(steps=2), {}, ("svg", "pdf"))
    assert not list(tmp_path.iterdir())
