"""Pictures in the space of a text of three tokens, one axis a token: a point and its distances, and a cone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from engine.report.figures import GREY
from engine.types import Array, Floats2d
from layers.figures.elements import (
    FIRST,
    INK,
    PALE,
    SECOND,
    THIRD,
    arrow,
    dot,
    line,
    magnitude,
    panel,
    sheet,
    title,
    waves_of,
    write,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINT = np.array([2.4, 1.6, 1.8])  # one dimension of a text of three tokens, chosen as an example
TILT = 22.0  # degrees: how far above the plane of axes 1 and 2 one looks from


def view(points: ArrayLike, turn: float) -> Floats2d:
    """Project points (n, 3) onto the sheet, (n, 2), in parallel; axis 3 points up.

    turn: around axis 3, in degrees, from axis 1 to where one looks from.
    """
    t, e = np.radians((turn, TILT))
    right = np.array([-np.sin(t), np.cos(t), 0])
    up = np.array([-np.cos(t) * np.sin(e), -np.sin(t) * np.sin(e), np.cos(e)])
    return np.asarray(points, np.float64) @ np.stack([right, up], axis=1)


def nearness(points: Array, turn: float) -> Array:
    """How near to the viewer points (…, 3) are, (…)."""
    t, e = np.radians((turn, TILT))
    near: Array = points @ np.array([np.cos(t) * np.cos(e), np.sin(t) * np.cos(e), np.sin(e)])
    return near


def draw_point_and_axes() -> Figure:
    """Draw one dimension of a text of three tokens as a point: its coordinate along axis 1 and its distance from it."""
    figure = sheet(3.7)
    title(figure, 0.15, 3.42, "A text of three tokens, one dimension: a point")
    axes = panel(figure, (0.3, 0.1), 1.0, (-0.3, 5.0), (-0.75, 2.5))
    z, turn = waves_of(POINT), -74.0
    re, im = float(z.re[0]), float(z.im[0])
    alpha = np.arctan2(im, re)
    _, w2, w3 = POINT
    origin, foot = np.zeros(3), np.array([re, 0, 0])
    across = (POINT - foot) / im  # the unit vector from axis 1 towards the point

    for number, end in enumerate(np.diag([3.3, 2.6, 2.5])):
        tip, start = view([end, -0.1 * end], turn)
        arrow(axes, tip, start, PALE, 1.0)
        place = (tip + (0, 0.12), "center") if number == 1 else (tip + (0.1, 0), "left")
        write(axes, place[0], f"axis {number + 1}", ha=place[1], color=GREY)
    wall = view(np.array([foot, (re, w2, 0), POINT, (re, 0, w3)]), turn)
    axes.fill(*wall.T, facecolor="#EEF3F8", edgecolor=PALE, zorder=3)
    for ends, color in (((origin, foot), FIRST), ((foot, POINT), SECOND), ((origin, POINT), THIRD)):
        line(axes, view(ends, turn), color, linewidth=2.2, zorder=4)
    right_angle = foot + 0.18 * np.array([(-1, 0, 0), across - (1, 0, 0), across])
    line(axes, view(right_angle, turn), INK, zorder=4)
    angles = np.linspace(0, alpha, 17)[:, None]
    directions = np.cos(angles) * (1, 0, 0) + np.sin(angles) * across
    line(axes, view(0.7 * directions, turn), INK, zorder=4)
    (tip,), (along,), (middle,) = (view([point], turn) for point in (POINT, foot / 2, 0.6 * POINT))
    dot(axes, *tip)

    write(axes, tip + (0.12, 0.02), "$x = (w_1, w_2, w_3)$", ha="left")
    write(axes, middle + (-0.08, 0.14), f"$G = {magnitude(POINT):.3g}$", ha="right")
    write(axes, along - (0, 0.2), f"$\\mathrm{{re}}_1 = w_1 = {re:.3g}$")
    write(axes, wall[1:3].mean(axis=0) + (0.1, 0), rf"$\mathrm{{im}}_1 = \sqrt{{w_2^2 + w_3^2}} = {im:.3g}$", ha="left")
    write(axes, view([0.92 * directions[8]], turn)[0], r"$\alpha_1$")
    return figure


def draw_cone() -> Figure:
    """Draw the imaginary part of token 1 over the plane of the two others: a cone, with its tip marked."""
    from matplotlib.collections import PolyCollection

    figure = sheet(3.5)
    title(figure, 0.15, 3.2, r"$\mathrm{im}_1 = \sqrt{w_2^2 + w_3^2}$ over the plane of $w_2$ and $w_3$")
    axes = panel(figure, (0.25, 0.05), 1.0, (-2.3, 2.9), (-0.85, 2.25))
    radius, rings, sectors, turn = 1.4, 4, 24, -48.0
    r, angle = np.meshgrid(np.linspace(0, radius, rings + 1), np.linspace(0, 2 * np.pi, sectors + 1), indexing="ij")
    w2, w3 = r * np.cos(angle), r * np.sin(angle)
    im = waves_of(np.stack([np.ones(w2.size), w2.ravel(), w3.ravel()], axis=1)).im[:, 0].reshape(w2.shape)
    points = np.stack([w2, w3, im], axis=2)

    for end, name in ((np.array([2.2, 0, 0]), "$w_2$"), (np.array([0, 2.2, 0]), "$w_3$")):
        tip, start = view([end, -end], turn)
        arrow(axes, tip, start, PALE, 1.0)
        write(axes, tip + (0.08, 0), name, ha="left", color=GREY)
    faces = np.stack([points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]], axis=2).reshape(-1, 4, 3)
    faces = faces[np.argsort(nearness(faces, turn).mean(axis=1))]  # the far ones first
    shown = [view(face, turn) for face in faces]
    axes.add_collection(PolyCollection(shown, facecolors="#DCE8F2", edgecolors=FIRST, linewidths=0.5, zorder=4))
    up = view([(0, 0, 0.8 * radius), (0, 0, 1.6 * radius)], turn)
    arrow(axes, up[1], up[0], GREY, 1.0)
    write(axes, up[1] + (0.1, 0), r"$\mathrm{im}_1$", ha="left", color=GREY)

    steepest = round((turn + 90) / 360 * sectors)  # the ray at the right rim
    edge = view(points[:, steepest], turn)
    line(axes, edge, SECOND, linewidth=2.2, zorder=5)
    slope = im[-1, steepest] / radius
    write(axes, edge[3] + (0.25, -0.05), f"slope {slope:.3g}", ha="left")
    dot(axes, 0, 0)
    write(axes, (0, -0.48), "tip: $w_2 = w_3 = 0$")
    return figure
