"""Pictures in the complex plane: the waves of one text, their interference and modulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.report.figures import GRID
from engine.types import Floats1d
from layers.figures.elements import (
    COLOURS,
    FIRST,
    GROUND,
    INK,
    SECOND,
    SIZE,
    THIRD,
    TITLE,
    arc,
    arrow,
    beyond,
    complex_plane,
    dot,
    line,
    magnitude,
    panel,
    sheet,
    title,
    waves_of,
    write,
)
from layers.wave import (
    Wave,
    interference_forward,
    modulation_forward,
    polar_to_wave_forward,
    readout_forward,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One dimension of a text, chosen as an example: the two linear maps give each token two numbers.
TOKENS = ("this", "film", "is", "too", "long")
W_A = np.array([-0.2, 1.0, 0.6, -1.4, -0.8])
W_B = np.array([0.15, 0.75, 0.45, 0.6, -1.05])


def combined(forward: Callable[[Wave, Wave], tuple[Wave, Any]]) -> Wave:
    """Interference (E5) or modulation (E6) of the two waves of the example, parts of (5,)."""
    z, _ = forward(*(Wave(*(part[:, None] for part in waves_of(w))) for w in (W_A, W_B)))
    return Wave(*(part[:, 0] for part in z))


def draw_dots(axes: Axes, z: Wave, hollow: bool = False) -> None:
    """Draw a dot, or a ring, for every token, in its colour."""
    for re, im, color in zip(*z, COLOURS):
        dot(axes, re, im, color, hollow)


def label_tokens(axes: Axes, z: Wave, distance: float, labels: Sequence[str] = TOKENS) -> None:
    """Write the label of every token `distance` behind its number."""
    for label, number in zip(labels, z.as_complex()):
        write(axes, beyond(number, distance), label, **GROUND)


def draw_arrows(axes: Axes, z: Wave) -> None:
    """Draw an arrow from 0 for every token, in its colour."""
    for re, im, color in zip(*z, COLOURS):
        arrow(axes, (re, im), color=color)


def draw_phasors() -> Figure:
    """Draw one text: its numbers, their phasors, and what two such waves give together."""
    figure = sheet(5.1)
    sums, products = combined(interference_forward), combined(modulation_forward)
    A, G_A, G_B = waves_of(W_A), magnitude(W_A), magnitude(W_B)

    title(figure, 0.15, 4.88, "Token2Wave of five tokens in one dimension")
    axes = panel(figure, (0.15, 2.65), 0.74, (-2.25, 2.4), (-0.62, 2.25))
    complex_plane(axes)
    arc(axes, G_A)
    draw_arrows(axes, A)
    label_tokens(axes, A, 0.17, [f"$Z_{j}$" for j in range(1, 6)])
    for word, re, im, color in zip(TOKENS, *A, COLOURS):
        line(axes, [(re, 0), (re, im)], color, linestyle=":")
        dot(axes, re, 0, color)
        write(axes, (re, -0.21), word, **GROUND)
        write(axes, (re, -0.47), f"{re:g}".replace("-", "−"), **GROUND)
    chosen = 1  # the token of which the parts are named
    alpha = float(np.arctan2(A.im[chosen], A.re[chosen]))
    arc(axes, 0.45, 0, alpha, INK, "-")
    write(axes, beyond(0.45 * np.exp(0.4j * alpha), 0.2), f"$\\alpha_{chosen + 1}$")
    write(axes, (A.re[chosen] + 0.08, 0.5 * A.im[chosen]), f"$\\mathrm{{im}}_{chosen + 1}$", ha="left")

    notes = panel(figure, (3.85, 2.85), 1.0, (0, 1.8), (0, 1.9))
    for y, text in (
        (1.65, r"$Z_j = G\,e^{\,i\alpha_j}$"),
        (1.15, rf"$G = \sqrt{{\sum_j w_j^2}} = {G_A:g}$"),
        (0.7, r"$\mathrm{re}_j = w_j$"),
        (0.25, r"$\mathrm{im}_j = \sqrt{\sum_{l \neq j} w_l^2}$"),
    ):
        write(notes, (0, y), text, ha="left")

    title(figure, 0.15, 2.38, "Interference: moduli differ")
    axes = panel(figure, (0.15, 0.15), 0.44, (-2.7, 2.9), (-0.6, 4.25))
    draw_pair(axes)
    for x, letter, hollow in ((-2.4, "A", False), (-1.4, "B", True)):
        dot(axes, x, -0.4, hollow=hollow)
        write(axes, (x + 0.2, -0.4), f"${letter}_j$", ha="left")
    draw_arrows(axes, sums)
    label_tokens(axes, sums, 0.22)

    title(figure, 2.95, 2.38, f"Modulation: moduli $G_A\\,G_B = {G_A * G_B:g}$")
    axes = panel(figure, (3.0, 0.1), 0.3, (-4.4, 4.0), (-3.4, 3.6))
    draw_pair(axes)
    arc(axes, G_A * G_B, 0, 2 * np.pi)
    draw_arrows(axes, products)
    label_tokens(axes, products, 0.5)
    return figure


def draw_pair(axes: Axes) -> None:
    """Draw the axes and both waves of the example on their half circles: A as dots, B as rings."""
    complex_plane(axes)
    for w, hollow in ((W_A, False), (W_B, True)):
        arc(axes, magnitude(w))
        draw_dots(axes, waves_of(w), hollow)


def draw_interference_term() -> Figure:
    """Draw the sum of two phasors, and its squared modulus by the difference of their phases."""
    figure = sheet(3.5)
    title(figure, 0.15, 3.2, r"$\vert Z\vert^2 = G_A^2 + G_B^2 + 2\,G_A\,G_B \cos(\alpha_A - \alpha_B)$")
    token = 3
    a, b, z = (z.as_complex()[token] for z in (waves_of(W_A), waves_of(W_B), combined(interference_forward)))
    G_A, G_B = abs(a), abs(b)
    alpha_a, alpha_b = (float(np.angle(x)) for x in (a, b))

    axes = panel(figure, (0.15, 0.15), 0.74, (-1.9, 1.6), (-0.35, 3.3))
    complex_plane(axes)
    for start, color in ((a, SECOND), (b, FIRST)):
        line(axes, [(start.real, start.imag), (z.real, z.imag)], color, linestyle=":")
    for number, color, label in ((a, FIRST, "$A$"), (b, SECOND, "$B$"), (z, THIRD, "$Z = A + B$")):
        arrow(axes, (number.real, number.imag), color=color)
        write(axes, beyond(number, 0.2), label, **GROUND)
    arc(axes, 0.5, alpha_b, alpha_a, INK, "-")
    write(axes, (0.4, 0.35), r"$\alpha_A - \alpha_B$", ha="left")

    width, height = figure.get_size_inches()
    curve = figure.add_axes((3.8 / width, 0.75 / height, 1.75 / width, 1.85 / height))
    difference = np.linspace(0, np.pi, 49)
    curve.plot(difference, squared_modulus(G_A, G_B, difference), color=THIRD)
    curve.plot(alpha_a - alpha_b, abs(z) ** 2, "o", markersize=5, color=THIRD)
    levels = {
        r"$(G_A - G_B)^2$": (G_A - G_B) ** 2,
        r"$G_A^2 + G_B^2$": G_A**2 + G_B**2,
        r"$(G_A + G_B)^2$": (G_A + G_B) ** 2,
    }
    curve.set_yticks(list(levels.values()), list(levels), size=SIZE)
    curve.set_xticks([0, np.pi / 2, np.pi], ["0", r"$\pi/2$", r"$\pi$"], size=SIZE)
    curve.grid(True, color=GRID, linewidth=0.6)
    curve.set_xlabel(r"$\alpha_A - \alpha_B$", size=SIZE)
    curve.set_title(r"$\vert Z\vert^2$", size=TITLE)
    return figure


def squared_modulus(G_A: float, G_B: float, difference: Floats1d) -> Floats1d:
    """|A + B|² of two phasors (E3, E5, E7) whose phases differ by so much, (n,)."""
    a, b = (
        polar_to_wave_forward(np.full((len(alpha), 1), G), alpha[:, None])[0]
        for G, alpha in ((G_A, difference), (G_B, np.zeros_like(difference)))
    )
    y, _ = readout_forward(interference_forward(a, b)[0], "magnitude")
    return y[:, 0] ** 2


def draw_two_circles() -> Figure:
    """Draw the tokens of a text on two half circles, and their products on one circle."""
    figure = sheet(3.4)
    A, B, Z = waves_of(W_A), waves_of(W_B), combined(modulation_forward)
    G_A, G_B = magnitude(W_A), magnitude(W_B)

    title(figure, 0.15, 3.1, "Two waves of one text")
    axes = panel(figure, (0.15, 0.1), 0.46, (-2.7, 2.9), (-2.7, 3.6))
    complex_plane(axes, bottom=-0.4)
    for z, G, letter, hollow, y in ((A, G_A, "A", False, -1.1), (B, G_B, "B", True, -1.7)):
        arc(axes, G)
        draw_dots(axes, z, hollow)
        dot(axes, -2.1, y, hollow=hollow)
        write(axes, (-1.85, y), f"${letter}_j$  on $G_{letter} = {G:g}$", ha="left")
    write(axes, (-2.2, -2.3), "moduli multiply, phases add", ha="left")
    label_tokens(axes, A, 0.4)

    title(figure, 2.95, 3.1, f"Products: on $G_A\\,G_B = {G_A * G_B:g}$")
    axes = panel(figure, (2.8, 0.1), 0.36, (-4.0, 3.8), (-3.9, 4.0))
    complex_plane(axes)
    arc(axes, G_A * G_B, 0, 2 * np.pi)
    draw_dots(axes, Z)
    label_tokens(axes, Z, 0.5)
    return figure
