"""Points of a search space: which fields they change, and the settings that they stand for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.support.errors import UserError
from engine.sweep.autotune_space import LARGEST_CHANGE, Space, rows_for, settings_at
from engine.training.run_settings import layered_settings
from tests.support.examples import examples

ROWS = {"a": (1, 2, 3), "b": ("x", "y"), "c": (True,), "d": (0.1, 0.2)}


@examples(60)
@given(st.integers(0, 1000))
def test_points_are_new_and_near_the_centre(seed):
    centre = {}
    space = Space(ROWS, seed, lambda point: point.get("b") != "x")
    seen = []
    for _ in range(4):
        points = space.points(5, centre)
        for point in points:
            assert point not in seen and point and point.get("b") != "x"
            assert all(value in ROWS[name] for name, value in point.items()) and list(point) == sorted(point)
            differing = [name for name in ROWS if point.get(name) != centre.get(name)]
            assert 1 <= len(differing) <= LARGEST_CHANGE
            seen.append(point)
        centre = points[-1]


def test_a_change_can_lead_back_to_the_start():
    """The values of the centre can all be given up again: drawn points need not keep them."""
    space = Space({"a": (1, 2), "b": ("x",)}, 0, lambda point: True)
    found = space.points(9, {"a": 1, "b": "x"})
    assert {"b": "x"} in found and {"a": 1} in found and len(found) == 4


def test_first_points_lack_what_rows_lack():
    """One of which nothing is left is the start; none is handed out again later."""
    first = [{"b": "x", "a": 2, "z": 1}, {"c": False}, {"a": 1}, {"d": 0.7, "c": True}]
    space = Space(ROWS, 0, lambda point: True, first)
    assert list(space.first_points()) == [{"a": 2, "b": "x"}, {"a": 1}, {"c": True}]
    assert space.points(5, {}) == [{"b": "x"}, {"d": 0.1}, {"a": 2}, {"b": "y"}, {"d": 0.2}]


def test_rows_leave_out_what_is_given_or_unknown(choices):
    settings = layered_settings(choices, None, [{"epochs": 7}])
    space = {"epochs": (7, 9), "ngrams": (2, 3), "norm_epsilon": (4,), "dimension": (64,), "affixes": (True, False)}
    assert rows_for(space, settings, {"affixes"}) == {"epochs": (9,), "ngrams": (3,)}


def test_a_point_changes_its_fields_alone(choices):
    """But the step budget, which grows with the epochs."""
    settings = layered_settings(choices, None, [{"train_file": "a.csv", "seed": 3}])
    found = settings_at(settings, {"epochs": 12, "ngrams": 3, "operation": "interference"}, choices.classes)
    assert found.data == settings.data.replace(ngrams=3)
    assert found.network == settings.network.replace(operation="interference")
    assert found.training == settings.training.replace(epochs=12, step_budget=5800)
    assert settings_at(settings, {}, choices.classes) == settings
    unlimited = layered_settings(choices, None, [{"epochs": 6}])
    assert settings_at(unlimited, {"epochs": 3}, choices.classes).training.step_budget == 0


@pytest.mark.parametrize("point", [{"ngrams": 0}, {"position_encoding": "learned"}])
def test_points_that_cannot_be_are_told(choices, point):
    """The second contradicts the preset's n-grams."""
    with pytest.raises(UserError):
        settings_at(layered_settings(choices, None, []), point, choices.classes)


def test_what_grows_with_a_field_keeps_its_proportion(choices):
    """A rate of many classes that did not would make the change of no use there; integers stay integers."""
    settings = layered_settings(choices, "interference", [{"train_file": "a.csv"}])
    found = settings_at(settings, {"learning_rate": 1e-3, "epochs": 1}, choices.classes).training
    assert (found.learning_rate, found.many_classes_learning_rate) == (1e-3, 4e-3)
    assert found.step_budget == 483 and isinstance(found.step_budget, int)
    given = {"step_budget", "many_classes_learning_rate"}
    found = settings_at(settings, {"learning_rate": 1e-3, "epochs": 1}, choices.classes, given).training
    assert (found.many_classes_learning_rate, found.step_budget) == (2e-3, 2900)  # as they were asked for
    still = layered_settings(choices, "interference", [{"learning_rate": 0.0, "many_classes_learning_rate": 1.0}])
    found = settings_at(still, {"learning_rate": 1e-3}, choices.classes).training
    assert found.many_classes_learning_rate == 1.0  # of 0 nothing is a share


def test_fields_that_would_grow_belong_to_a_first_point():
    """Until what they grow with changes; where that is not searched they are left out."""
    first = [{"epochs": 3, "step_budget": 7, "many_classes_learning_rate": 0.5}]
    space = Space({"epochs": (3, 9), "a": (1,)}, 0, lambda point: True, first)
    (point,) = space.first_points()
    assert point == {"epochs": 3, "step_budget": 7}
    found = space.points(30, point)
    assert {"epochs": 3, "a": 1, "step_budget": 7} in found and {"epochs": 9, "a": 1} in found
    assert all(("step_budget" in one) == (one.get("epochs") == 3 and one != {"epochs": 3}) for one in found)
    assert not list(Space({"a": (1,)}, 0, lambda point: True, first).first_points())
