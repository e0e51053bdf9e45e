"""The numbers behind the page of a state: the walk after the gradient steps, and all gradients checked."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from engine.types import Array
from layers.experiments.explore.checks import Checks, Entry, check_walk
from layers.experiments.explore.course import Course, course_of, short_name
from layers.experiments.explore.source import Scene, Source, scene_of
from layers.experiments.explore.state import State
from layers.experiments.trace.trace import Trace
from layers.experiments.trace.walk import Quantity, quantities_of

WAVES = ("first_wave", "second_wave", "combined")  # stages of the first block
KEPT = 32  # computations that are remembered, so that stepping through backward does not repeat them


class Computation(NamedTuple):
    """trace: as `trace` has it, but checked in one pass. right: the same training with nothing broken, None without.

    checks: of arrays and of the entries in the dimension in the middle. broken: name of the stage whose backward is.
    """

    scene: Scene
    course: Course
    right: Course | None
    trace: Trace
    quantities: Mapping[str, Quantity]
    checks: Checks
    broken: str

    def gradients(self, wave: str) -> tuple[Array, Array, Array]:
        """(z, gradient by hand, numerical gradient) of a wave of the first block: complex, of the tokens shown."""
        k, shown = self.scene.k, self.scene.tokens
        parts = [self.quantities[f"blocks.0.{wave}.{part}"] for part in ("re", "im")]
        values, by_hand = ([a[:shown, k] for a in arrays] for arrays in zip(*((q.value, q.gradient) for q in parts)))
        numeric = [[self.checks.of_entries[Entry(q.name, (t, k))] for t in range(shown)] for q in parts]
        z, gradient, found = (np.asarray(re) + 1j * np.asarray(im) for re, im in (values, by_hand, numeric))
        return z, gradient, found


def compute(source: Source, state: State) -> Computation:
    """The Computation of a state. Raises UserError for what cannot be shown."""
    # Fields that only choose what is looked at make no difference.
    found = remembered(source, state.replace(step=0, token=0, grow=0.0))
    token = min(state.token, found.scene.tokens - 1)
    chosen = found.scene.state.replace(step=state.step, token=token, grow=state.grow)
    return found._replace(scene=found.scene._replace(state=chosen))


@lru_cache(maxsize=KEPT)
def remembered(source: Source, state: State) -> Computation:
    """compute(), of a state that was computed lately without computing it again."""
    scene = scene_of(source, state)
    course = course_of(scene)
    scene = scene._replace(state=scene.state.replace(at=short_name(course.at)))
    walk = course.walk
    quantities = quantities_of(walk)
    broken = "" if state.broken == "none" else course.at
    right = course_of(scene._replace(state=scene.state.replace(broken="none"))) if broken and state.steps else None
    entries = [
        Entry(f"blocks.0.{wave}.{part}", (token, scene.k))
        for wave in WAVES
        for part in ("re", "im")
        for token in range(scene.tokens)
    ]
    entries += [Entry("embedding.table", (row, scene.k)) for row in shown_rows(scene)]
    checks = check_walk(walk, quantities, entries)
    checked = [q._replace(check=checks.of_arrays.get(q.name)) for q in quantities]
    trace = Trace(scene.subject, walk, checked, scene.tokens, scene.k)
    return Computation(scene, course, right, trace, {q.name: q for q in checked}, checks, broken)


def shown_rows(scene: Scene) -> list[int]:
    """Rows of the embedding table that belong to the tokens shown, in order of appearance."""
    return list(dict.fromkeys(scene.subject.batch.ids[: scene.tokens].tolist()))
