"""All gradients in one pass: right ones pass, broken ones are found, and the numbers are those of a trace."""

import numpy as np
import pytest

from layers.experiments.explore import checks
from layers.experiments.explore.checks import Entry, check_walk
from layers.experiments.explore.computation import compute
from layers.experiments.explore.course import course_of, short_name, spoiled
from layers.experiments.explore.source import RandomNetworks, scene_of
from layers.experiments.explore.state import BREAKS, State
from layers.experiments.trace.subject import random_subject
from layers.experiments.trace.trace import first_wrong, trace_subject
from layers.experiments.trace.walk import Walk, quantities_of
from layers.networks.configs import BLOCK_FORMS
from layers.standard.position_encoding import POSITION_ENCODINGS
from layers.wave import OPERATIONS, READOUTS, SCOPES
from tests.support.small_networks import in_pairs

SOURCE = RandomNetworks()
FIELDS = ("operation", "readout", "scope", "positions", "block")
COMBINATIONS = in_pairs(list(OPERATIONS), list(READOUTS), list(SCOPES), list(POSITION_ENCODINGS), list(BLOCK_FORMS))


@pytest.mark.parametrize(",".join(FIELDS), COMBINATIONS)
def test_right_gradients_pass_and_their_numbers_are_right(operation, readout, scope, positions, block):
    chosen = dict(zip(FIELDS, (operation, readout, scope, positions, block)))
    found = compute(SOURCE, State(**chosen, width=3, text="no word of these repeats"))
    assert found.trace.ok, found.trace.wrong[0]
    quantities = [q for q in found.quantities.values() if q.gradient is not None and q.name != "loss"]
    assert set(found.checks.of_arrays) == {q.name for q in quantities}
    if readout != "phase":  # which jumps where a wave is real
        assert {check.verdict for check in found.checks.of_arrays.values()} == {"ok"}
        for entry, numeric in found.checks.of_entries.items():
            q = found.quantities[entry.name]
            assert numeric == pytest.approx(
                q.gradient[entry.place], rel=1e-5, abs=1e-6 * np.abs(q.gradient).max() + 1e-12
            )


@pytest.mark.parametrize("kind", [kind for kind in BREAKS if kind != "none"])
@pytest.mark.parametrize("at", ["classifier", "feed_forward.activation", "combined", "first_wave", "second_variant"])
def test_a_broken_backward_is_found_and_named(kind, at):
    """All that lies before it in the walk stays right, and the first wrong gradient is one that it returns."""
    found = compute(SOURCE, State(broken=kind, at=at, operation="interference"))
    assert short_name(found.broken) == at and not found.trace.ok
    names = [stage.name for stage in found.course.walk.stages]
    broken = names.index(found.broken)
    assert not [q.name for q in found.trace.wrong if q.kind != "parameter" and names.index(q.stage.name) >= broken]
    first, stage = found.trace.wrong[0], found.course.walk.stages[broken]
    assert first.stage.name in stage.inputs or first.stage.name == stage.name and first.kind == "parameter"
    assert stage.title in first_wrong(found.trace)


def test_a_gradient_wrong_by_a_millionth_is_found():
    scene = scene_of(SOURCE, State())
    walk = Walk(scene.subject.network, scene.subject.batch)
    quantities = [q._replace(gradient=q.gradient * (1 + 4e-6)) for q in quantities_of(walk) if q.gradient is not None]
    found = check_walk(walk, quantities, [])
    assert sum(check.verdict == "WRONG" for check in found.of_arrays.values()) > 30


def test_the_numbers_are_those_of_a_trace():
    """Values and gradients bit by bit; slopes by differences as far as those are right."""
    state = State(operation="interference", readout="magnitude", seed=5)
    found = compute(SOURCE, state)
    subject = random_subject(state.text, 5, operation="interference", readout="magnitude")
    traced = trace_subject(subject, entries=False)
    assert [q.name for q in traced.quantities] == list(found.quantities)
    for expected in traced.quantities:
        q = found.quantities[expected.name]
        np.testing.assert_array_equal(q.value, expected.value)
        if expected.gradient is not None:
            np.testing.assert_array_equal(q.gradient, expected.gradient)


def test_entries_of_different_arrays_do_not_disturb_each_other():
    scene = scene_of(SOURCE, State())
    walk = Walk(scene.subject.network, scene.subject.batch)
    quantities = quantities_of(walk)
    several = [Entry(f"blocks.0.{name}", (t, 1)) for name in ("first_wave.im", "combined.re") for t in range(6)]
    together = check_walk(walk, quantities, several).of_entries
    for entry in several:
        assert check_walk(walk, quantities, [entry]).of_entries[entry] == pytest.approx(together[entry], rel=1e-9)


def test_a_large_text_is_checked_in_parts(monkeypatch):
    """With the same results, since copies of a text do not see each other."""
    scene = scene_of(SOURCE, State())
    walk = Walk(scene.subject.network, scene.subject.batch)
    whole = check_walk(walk, quantities_of(walk), [Entry("pooling", (0, 1))])
    monkeypatch.setattr(checks, "ENTRIES", 500)
    parts = check_walk(walk, quantities_of(walk), [Entry("pooling", (0, 1))])
    assert parts.of_entries == pytest.approx(whole.of_entries, rel=1e-9)
    for name, check in whole.of_arrays.items():
        assert parts.of_arrays[name].numeric == pytest.approx(check.numeric, rel=1e-7, abs=1e-12)


def test_steps_lower_the_loss_and_a_wrong_sign_raises_it():
    right, wrong = (course_of(scene_of(SOURCE, State(steps=20, broken=kind))) for kind in ("none", "sign"))
    assert right.losses[-1] < 0.5 * right.losses[0] and (np.diff(right.losses) < 0).all()
    assert wrong.losses[-1] > 2 * wrong.losses[0]
    assert right.probabilities.shape == (21, 3) and right.probabilities.sum(axis=1) == pytest.approx(np.ones(21))


def test_only_tokens_learn_where_they_alone_shall():
    scene = scene_of(SOURCE, State(steps=3, learns="tokens"))
    before = {name: p.value for name, p in scene.subject.network.parameters().items()}
    after = course_of(scene).walk.network.parameters()
    assert [name for name in before if before[name] is not after[name].value] == ["embedding.table"]


def test_a_training_that_diverges_ends_with_finite_numbers():
    found = compute(SOURCE, State(steps=400, rate=10.0, broken="sign", text="a b"))
    assert found.course.diverged and len(found.course.losses) < 400
    assert np.isfinite(found.course.losses).all()
    assert all(np.isfinite(np.asarray(q.value)).all() for q in found.quantities.values())


@pytest.mark.parametrize("kind, expected", [("sign", -2.0), ("factor", 1.0), ("path", 0.0)])
def test_what_is_broken(kind, expected):
    assert spoiled(kind)(np.array(2.0)) == expected
