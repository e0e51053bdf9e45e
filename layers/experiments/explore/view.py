"""The page of a state as texts and numbers, which the template explore.html shows."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from layers.experiments.explore.circles import Bar, Circle, Plot, bars, circle_of, nice_top, plot_of
from layers.experiments.explore.computation import WAVES, Computation, compute, shown_rows
from layers.experiments.explore.course import short_name, spoiled
from layers.experiments.explore.filled import number
from layers.experiments.explore.growth import Growth, growth_of
from layers.experiments.explore.source import Source
from layers.experiments.explore.state import State
from layers.experiments.explore.steps import Mark, Shown, Step, marks, step_of
from layers.experiments.trace.table import network_line
from layers.experiments.trace.trace import phasor_waves, verdict_line
from layers.wave import OPERATIONS

RANGE = 4.0  # of a slider, where values are not larger
CLASSES = 6  # that are shown, the likeliest


class Slider(NamedTuple):
    """A value that can be moved. name: in the query string; reach: of the slider; gradient, numeric: dL/dx as texts."""

    name: str
    token: str
    colour: str
    value: str
    shown: str
    reach: float
    gradient: str
    numeric: str
    agrees: bool


class Row(NamedTuple):
    """A token in a wave: its number, its phase, its gradient by hand and numerically, as texts."""

    token: str
    colour: str
    z: str
    phase: str
    gradient: str
    numeric: str
    agrees: bool


class Wave(NamedTuple):
    """A wave with its picture and its numbers. name: A, B or Z."""

    name: str
    circle: Circle
    rows: Sequence[Row]


class View(NamedTuple):
    """Everything on the page."""

    state: State
    fixed: bool
    note: str
    network: str
    verdict: str
    ok: bool
    loss: str
    tokens: Sequence[tuple[str, str]]
    sliders: Sequence[Slider]
    others: Sequence[tuple[str, str]]
    waves: Sequence[Wave]
    operation_note: str
    interference: Sequence[Bar]
    interference_largest: str
    probabilities: Sequence[Bar]
    plots: Sequence[Plot]
    diverged: str
    marks: Sequence[Mark]
    step: Step
    breakable: Sequence[tuple[str, str]]
    classes: Sequence[str]
    label: str
    dimensions: Sequence[int]
    growth: Growth | None


def view_of(source: Source, state: State) -> View:
    """The View of a state. Raises UserError for what cannot be shown."""
    found = compute(source, state)
    scene, walk = found.scene, found.course.walk
    state, subject = scene.state, scene.subject
    tokens = subject.tokens[: scene.tokens]
    stages = list(reversed(walk.stages))
    position = min(state.step, len(stages) - 1)
    state = state.replace(step=position)
    stage = stages[position]
    fault = spoiled(state.broken) if found.broken == stage.name else None
    shown = Shown(tokens, len(subject.tokens), scene.dimensions, subject.network.config.dimension)
    waves = waves_of(found)
    term = interference_term(found)
    config = subject.network.config
    return View(
        state=state,
        fixed=source.fixed,
        note=scene.note,
        network=network_line(subject),
        verdict=verdict_line(found.trace),
        ok=found.trace.ok,
        loss=f"{float(walk.values['loss']):.4g}",
        tokens=[(token, f"c{i % 8}") for i, token in enumerate(tokens)],
        sliders=sliders_of(found),
        others=[(f"x.{t}.{i}", repr(v)) for t, i, v in state.moved if i != state.dimension],
        waves=waves,
        operation_note=OPERATIONS[config.operation].note,
        interference=bars(tokens, term[0], term[1]),
        interference_largest=number(term[1]),
        probabilities=probability_bars(found),
        plots=plots_of(found),
        diverged=f"after {len(found.course.losses) - 1} steps" if found.course.diverged else "",
        marks=marks(walk, found.checks.of_arrays, found.broken),
        step=step_of(walk, stage, found.checks.of_arrays, fault, shown, state.token, scene.k),
        breakable=[(short_name(s.name), s.title) for s in stages],
        classes=subject.classes,
        label=subject.classes[int(subject.batch.labels[0])],  # type: ignore[index]
        dimensions=scene.dimensions,
        growth=grown(found) if len(tokens) > 1 else None,
    )


def agree(by_hand: Any, numeric: Any, scale: float) -> bool:
    """Whether two derivatives are alike to four digits, of the largest of their kind."""
    return bool(abs(by_hand - numeric) <= 1e-4 * max(abs(by_hand), abs(numeric)) + 1e-6 * scale)


def sliders_of(found: Computation) -> list[Slider]:
    """A Slider for each different token that is shown."""
    scene, k = found.scene, found.scene.k
    start = scene.subject.network.embedding.table.value
    table = found.quantities["embedding.table"]
    largest = float(abs(scene.values[:, scene.dimensions]).max())
    reach = RANGE if 0.25 * RANGE <= largest <= RANGE else nice_top(np.array([largest])) * (1 if largest > 1 else 3)
    numeric = {e.place[0]: v for e, v in found.checks.of_entries.items() if e.name == "embedding.table"}
    assert table.gradient is not None
    scale, sliders = float(abs(table.gradient).max()), []
    for row in shown_rows(scene):
        i = int(np.flatnonzero(scene.subject.batch.ids == row)[0])
        value, by_hand = float(start[row, k]), float(table.gradient[row, k])
        reached = max(reach, math.ceil(abs(value)))
        sliders.append(
            Slider(
                f"x.{row}.{scene.state.dimension}", scene.subject.tokens[i], f"c{i % 8}", repr(value), number(value),
                reached, number(by_hand), number(numeric[row]), agree(by_hand, numeric[row], scale),
            )
        )  # fmt: skip
    return sliders


def waves_of(found: Computation) -> list[Wave]:
    """The three waves of the first block."""
    scene = found.scene
    tokens = scene.subject.tokens[: scene.tokens]
    drawn = phasor_waves(found.trace)[0]
    data = [found.gradients(wave) for wave in WAVES]
    waves = []
    for name, picture, (z, gradient, numeric) in zip("ABZ", drawn, data):
        sizes = abs(np.concatenate([gradient, numeric]))
        longest = float(sizes[np.isfinite(sizes)].max(initial=0.0))
        caption = f"{picture.circle} = {picture.radius:.4g}"
        circle = circle_of(
            f"{name}: {picture.title}",
            caption,
            picture.radius,
            tokens,
            z,
            gradient,
            numeric,
            longest,
            scene.state.token,
        )
        rows = [
            Row(
                token, f"c{i % 8}", complex_text(z[i]), degrees(z[i]),
                complex_text(gradient[i]), complex_text(numeric[i]), agree(gradient[i], numeric[i], longest),
            )
            for i, token in enumerate(tokens)
        ]  # fmt: skip
        waves.append(Wave(name, circle, rows))
    return waves


def degrees(z: complex) -> str:
    """The phase of a number."""
    return f"{math.degrees(math.atan2(z.imag, z.real)):.0f}°".replace("-", "−")


def complex_text(z: complex) -> str:
    """A complex number as people write it."""
    sign = "−" if z.imag < 0 else "+"
    return f"{number(z.real, 3)} {sign} {number(abs(z.imag), 3)}i"


def interference_term(found: Computation) -> tuple[Any, float]:
    """(G·G′·cos(α − α′) of each token shown, its largest size G·G′)."""
    A, B = (found.gradients(wave)[0] for wave in WAVES[:2])
    sizes = abs(A) * abs(B)
    return (A * B.conj()).real, float(sizes.max(initial=0.0))


def probability_bars(found: Computation) -> list[Bar]:
    """The likeliest classes; a bar of the whole width is 1."""
    p = found.course.probabilities[-1]
    order = np.sort(np.argsort(-p, kind="stable")[:CLASSES])
    names = [found.scene.subject.classes[i] for i in order]
    return [
        Bar(name, f"c{i % 8}", f"{p[c]:.4f}", 0.0, 100 * float(p[c]))
        for i, (name, c) in enumerate(zip(names, order.tolist()))
    ]


def plots_of(found: Computation) -> list[Plot]:
    """The loss and the probabilities over the steps; nothing before the first step."""
    course, steps = found.course, len(found.course.losses) - 1
    if not steps:
        return []
    losses = [("loss", "loss", course.losses)]
    if found.right is not None:
        losses = [("broken", "loss wrong", course.losses), ("right", "loss right", found.right.losses)]
        steps = max(steps, len(found.right.losses) - 1)
    of_all = np.concatenate([values for _, _, values in losses])
    p = course.probabilities
    order = np.sort(np.argsort(-p[-1], kind="stable")[:CLASSES])
    classes = found.scene.subject.classes
    lines = [(classes[c], f"c{i % 8}", p[:, c]) for i, c in enumerate(order.tolist())]
    return [plot_of("loss", losses, nice_top(of_all), steps), plot_of("probabilities", lines, 1.0, steps)]


def grown(found: Computation) -> Growth:
    """The Growth of the chosen token in the first wave."""
    scene = found.scene
    z, gradient, _ = found.gradients(WAVES[0])
    tokens = scene.subject.tokens[: scene.tokens]
    return growth_of(tokens, z.real.copy(), gradient, scene.state.token, scene.state.grow)
