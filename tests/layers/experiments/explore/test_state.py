"""The state of the page is its query string, and nothing else is taken for one."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.support.errors import UserError
from layers.experiments.explore.state import BREAKS, LARGEST, LEARNERS, MOST_STEPS, State, state_of
from layers.networks.configs import BLOCK_FORMS
from layers.standard.position_encoding import POSITION_ENCODINGS
from layers.wave import OPERATIONS, READOUTS, SCOPES
from tests.support.examples import examples

CHOICES = {
    "operation": OPERATIONS,
    "readout": READOUTS,
    "scope": SCOPES,
    "positions": POSITION_ENCODINGS,
    "block": BLOCK_FORMS,
    "broken": BREAKS,
    "learns": LEARNERS,
}
STATES = st.fixed_dictionaries(
    {
        **{name: st.sampled_from(list(values)) for name, values in CHOICES.items()},
        "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200),
        "label": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9),
        "width": st.integers(2, 8),
        "seed": st.integers(0, 999_999),
        "steps": st.integers(0, MOST_STEPS),
        "rate": st.floats(0.001, 10),
        "grow": st.floats(0, 24),
        "step": st.integers(0, 99),
        "moved": st.dictionaries(
            st.tuples(st.integers(0, 5), st.integers(0, 7)), st.floats(-LARGEST, LARGEST), max_size=4
        ),
    }
)


@given(STATES)
@examples(200)
def test_a_state_is_read_back_from_its_query(fields):
    moved = [(*place, value) for place, value in fields.pop("moved").items()]
    state = State(**fields).moved_to(moved)
    assert state_of(parse_qsl(state.query(), keep_blank_values=True)) == state


def test_defaults_are_left_out_and_changes_added():
    assert State().query() == ""
    assert State(seed=3).query(step=2) == "seed=3&step=2"


@pytest.mark.parametrize(
    "pairs, message",
    [
        ([("width", "1e30")], "width: expected a whole number from 2 to 8, got '1e30'"),
        ([("width", "9" * 5000)], "width: expected a whole number"),
        ([("rate", "nan")], "rate: expected a number from 0.001 to 10.0, got 'nan'"),
        ([("grow", "inf")], "grow: expected a number from 0.0 to 24.0, got 'inf'"),
        ([("steps", "-1")], "steps: expected a whole number from 0 to 1000, got '-1'"),
        ([("operation", "<b>")], "operation: expected one of interference, modulation, correlation, got '<b>'"),
        ([("text", "x" * 1_000_000)], "text: has 1,000,000 characters, more than 200"),
        ([("txt", "a")], "txt: there is no such name (did you mean 'text'?)"),
        ([("moved", "()")], "moved: there is no such name"),
        ([("seed", "1"), ("seed", "2")], "seed: is given twice"),
        ([("x.0.0", "1"), ("x.0.0", "2")], "x.0.0: is given twice"),
        ([("x.1.2", "nan")], "x.1.2: expected a number from -1000 to 1000, got 'nan'"),
        ([("x.1.2", "1e30")], "x.1.2: expected a number from -1000 to 1000, got '1e30'"),
        ([("x.1.2", "")], "x.1.2: expected a number from -1000 to 1000, got ''"),
        ([("x.6.0", "1")], "x.6.0: there are at most 6 tokens and 8 dimensions"),
        ([("x.1", "1")], "x.1: expected x.TOKEN.DIMENSION"),
        ([("x.².0", "1")], "x.².0: expected x.TOKEN.DIMENSION"),
        ([("a\nb\x1b", "1")], "a␊b␛: there is no such name"),
    ],
)
def test_what_is_no_state_is_refused_in_one_line(pairs, message):
    with pytest.raises(UserError) as caught:
        state_of(pairs)
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400
