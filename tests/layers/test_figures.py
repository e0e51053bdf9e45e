"""The pictures of the equations: files that hold what screen readers need, and drawings whose words can be read."""

from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from layers.figures.draw import FOLDER, PICTURES, main, svg_of
from layers.figures.elements import magnitude, waves_of
from layers.figures.plane import W_A, W_B, combined, squared_modulus
from layers.wave import interference_forward, modulation_forward

SVG = "{http://www.w3.org/2000/svg}"
every_picture = pytest.mark.parametrize("name", PICTURES)


@every_picture
def test_every_picture_is_a_small_file_with_words(name):
    """A title and a description that say what it shows; no date, so that the file repeats."""
    path = FOLDER / f"{name}.svg"
    root = ElementTree.fromstring(path.read_bytes())
    assert root.tag == f"{SVG}svg" and root.get("role") == "img"
    assert [root.findtext(f"{SVG}{tag}") for tag in ("title", "desc")] == list(PICTURES[name][1:])
    assert path.stat().st_size < 64_000 and b"dc:date" not in path.read_bytes()


def words_of(figure):
    """(text, extent in pixels) of everything written in a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    framed = [axes for axes in figure.axes if axes.axison]
    labels = [
        a for axes in framed for a in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.title)
    ]
    texts = [*figure.texts, *labels, *(text for axes in figure.axes for text in axes.texts)]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]


@every_picture
def test_words_neither_overlap_nor_leave_the_picture(name):
    pytest.importorskip("matplotlib")
    figure = PICTURES[name].draw()
    words = words_of(figure)
    width, height = figure.bbox.size
    for text, box in words:
        assert 0 < box.x0 and box.x1 < width and 0 < box.y0 and box.y1 < height, text
    for (one, a), (other, b) in combinations(words, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        assert apart, (one, other)


def test_a_picture_is_drawn_the_same_twice():
    pytest.importorskip("matplotlib")
    assert svg_of(PICTURES["interference_term"]) == svg_of(PICTURES["interference_term"])


def test_the_command_writes_the_pictures_named(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from click.testing import CliRunner

    monkeypatch.setattr("layers.figures.draw.FOLDER", tmp_path)
    done = CliRunner().invoke(main, ["cone"])
    assert done.exit_code == 0 and [path.name for path in tmp_path.iterdir()] == ["cone.svg"]
    assert CliRunner().invoke(main, ["cones"]).exit_code == 2
    monkeypatch.setattr("layers.figures.draw.FOLDER", tmp_path / "absent")
    failed = CliRunner().invoke(main, ["cone"])
    assert failed.exit_code == 2 and "cone.svg: cannot be written" in failed.output


def test_what_the_pictures_say_holds():
    """One radius a wave, one for all products; the squared modulus of sums follows the cosine."""
    G_A, G_B = magnitude(W_A), magnitude(W_B)
    for w, G in ((W_A, G_A), (W_B, G_B)):
        z = waves_of(w)
        np.testing.assert_array_equal(z.re, w)
        np.testing.assert_allclose(abs(z.as_complex()), G, rtol=1e-14)
    np.testing.assert_allclose(abs(combined(modulation_forward).as_complex()), G_A * G_B, rtol=1e-14)
    angles = np.angle(waves_of(W_A).as_complex()) - np.angle(waves_of(W_B).as_complex())
    of_sums = abs(combined(interference_forward).as_complex()) ** 2
    np.testing.assert_allclose(squared_modulus(G_A, G_B, angles), of_sums, rtol=1e-14)
    np.testing.assert_allclose(of_sums, G_A**2 + G_B**2 + 2 * G_A * G_B * np.cos(angles), rtol=1e-14)
