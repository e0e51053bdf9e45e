"""Settings hold what they may hold and refuse the rest in words."""

import dataclasses
import re

import pytest

from engine.data.config import DataConfig
from engine.support.errors import UserError
from engine.support.settings import Settings, allowed, setting
from engine.support.text import shown
from engine.training.config import TrainingConfig
from engine.training.run_settings import build_settings, field_rows, parse_assignments, read_settings_file, settings_of
from layers.networks import CONFIGS, TransformerConfig, WaveNetworkConfig


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    count: int = setting(2, "a count", minimum=1, maximum=9)
    share: float = setting(0.5, "a share", minimum=0.0, below=1.0)
    free: float = setting(0.0, "any number")
    kind: str = setting("a", "a kind", choices=("a", "b"))
    name: str = setting("", "a name")
    flag: bool = setting(True, "a switch")


def refusal(**values):
    with pytest.raises(UserError) as caught:
        Example(**values)
    return str(caught.value)


@pytest.mark.parametrize(
    "field, value, held",
    [
        ("count", 1, 1), ("count", 9, 9), ("count", "3", 3), ("count", " 3 ", 3),
        ("share", 0, 0.0), ("share", 0.999, 0.999), ("share", "2.5e-1", 0.25),
        ("free", -3, -3.0), ("free", "1e300", 1e300),
        ("kind", "b", "b"), ("name", "1", "1"), ("name", 1, "1"), ("name", "true", "true"),
        ("flag", False, False), ("flag", "no", False), ("flag", "True", True),
        ("flag", "off", False), ("flag", "on", True),
    ],
)  # fmt: skip
def test_a_fitting_value_is_held_in_the_fields_type(field, value, held):
    found = getattr(Example(**{field: value}), field)
    assert found == held and type(found) is type(held)


COUNT, SHARE, FREE = "a whole number from 1 to 9", "a number from 0.0 to below 1.0", "a number"


@pytest.mark.parametrize(
    "field, values, words",
    [
        ("count", [0, 10, 2.0, "2.0", "", "x", True, None, [2]], COUNT),
        ("share", [-1e-9, 1, 1.0, "1", "nan", "inf", float("nan"), float("-inf"), False, "half", None], SHARE),
        ("free", [float("nan"), float("inf"), float("-inf"), "nan", "-inf", "1e400", True, 10**400], FREE),
        ("kind", ["c", "", "A", 1, None], "one of a, b"),
        ("name", [1.5, None, True, ["x"]], "text"),
        ("flag", [0, 1, "1", "maybe", None], "true or false"),
    ],
)
def test_any_other_value_is_refused_with_its_field(field, values, words):
    """Any other value is refused with the field and what it may be."""
    for value in values:
        assert refusal(**{field: value}) == f"{field}: expected {words}, got {shown(value)}"


def test_settings_cannot_be_changed_and_copies_are_checked():
    settings = Example()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.count = 3
    assert settings.replace(count=3) == Example(count=3) != settings
    with pytest.raises(UserError, match="^count: "):
        settings.replace(count=0)


def test_settings_and_their_dict_are_the_same():
    settings = Example(count="4", flag="no")
    assert Example(**settings.to_dict()) == settings
    assert list(settings.to_dict()) == list(Example.fields()) == ["count", "share", "free", "kind", "name", "flag"]


ALL = (DataConfig, WaveNetworkConfig, TrainingConfig)


def test_sections_share_no_field_name_but_labels():
    """Which decides how files are read and which loss a network has: it is set once, and both have its value."""
    names = [name for cls in ALL for name in cls.fields()]
    assert [name for name in set(names) if names.count(name) > 1] == ["labels"]
    for model in CONFIGS:
        for value in ("one", "several"):
            settings = build_settings(CONFIGS, {"model": model, "labels": value})
            assert settings.data.labels == settings.network.labels == value
            sections = settings.sections()
            sections["data"]["labels"] = "several"  # as by hand in a config.toml: the network's counts
            assert settings_of(sections, CONFIGS) == settings


@pytest.mark.parametrize("cls", [*ALL, TransformerConfig])
def test_every_default_lies_within_its_own_limits(cls):
    """Every field has a meaning and a default within its own limits."""
    for name, field in cls.fields().items():
        assert field.metadata["help"] and allowed(field)
        assert cls(**{name: str(field.default)}) == cls(**{name: field.default}) == cls()


def test_later_layers_win_and_fields_find_their_section():
    settings = build_settings(
        CONFIGS, {"epochs": 2, "dimension": 8}, {"epochs": "3"}, parse_assignments(["corpus=r52"])
    )
    assert (settings.training.epochs, settings.network.dimension, settings.data.corpus) == (3, 8, "r52")
    assert settings.training == TrainingConfig(epochs=3)


def test_an_unknown_field_is_refused_with_the_nearest_name():
    with pytest.raises(
        UserError, match=re.escape("unknown field 'learning_rat' (did you mean 'learning_rate'?); list them with")
    ):
        build_settings(CONFIGS, {"learning_rat": 1})
    with pytest.raises(UserError, match="^unknown field 'zzz'; "):
        build_settings(CONFIGS, {"zzz": 1})


def test_assignments_are_cut_at_the_first_equals_sign():
    assert parse_assignments(["a=1", "train_file = x=y.csv"]) == {"a": "1", "train_file": "x=y.csv"}
    with pytest.raises(UserError, match="^--set dropout: expected name=value"):
        parse_assignments(["dropout"])


def test_a_settings_file_may_be_flat_or_a_runs_config(tmp_path):
    flat, config = tmp_path / "flat.toml", tmp_path / "config.toml"
    flat.write_text("epochs = 3\ndimension = 8\n")
    config.write_text('[run]\ndevice = "cpu"\n[data]\n[network]\ndimension = 8\n[training]\nepochs = 3\n')
    assert read_settings_file(flat, CONFIGS) == read_settings_file(config, CONFIGS) == {"epochs": 3, "dimension": 8}


def test_what_a_run_wrote_stands_for_all_fields(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(
        '[run]\nversion = "0.0.1"\n[data]\n[network]\nmodel = "transformer"\nheads = 2\n[training]\nepochs = 3\n'
    )
    values = read_settings_file(path, CONFIGS)
    assert build_settings(CONFIGS, {"tokens": "words", "dropout": 0.5, "step_budget": 9}, values) == build_settings(
        CONFIGS, {"model": "transformer", "heads": 2, "epochs": 3}
    )


def test_a_section_that_does_not_exist_is_an_unknown_field(tmp_path):
    (tmp_path / "a.toml").write_text("[trainin]\nepochs = 3\n")
    with pytest.raises(UserError, match="unknown field 'trainin'"):
        build_settings(CONFIGS, read_settings_file(tmp_path / "a.toml", CONFIGS))


def test_every_field_has_a_row_for_the_reader():
    settings = build_settings(CONFIGS)
    rows = field_rows(settings)
    assert [row[1] for row in rows] == list(dict.fromkeys(name for cls in ALL for name in cls.fields()))
    assert ("training", "epochs", 4, "a whole number from 1 to 1000000000", "passes over the training texts") in rows


def test_the_model_refuses_fields_of_another():
    """The model chooses the network and refuses fields of another."""
    assert build_settings(CONFIGS).network == WaveNetworkConfig()
    assert build_settings(CONFIGS, {"model": "transformer", "heads": 3, "dimension": 6}).network == TransformerConfig(
        dimension=6, heads=3
    )
    with pytest.raises(
        UserError,
        match="^norm_epsilon: is a field of model transformer, not of model wave; leave it out",
    ):
        build_settings(CONFIGS, {"norm_epsilon": 1e-6})
    with pytest.raises(UserError, match="^model: expected one of wave, transformer, got 'tree'"):
        build_settings(CONFIGS, {"model": "tree"})


def test_texts_must_fit_into_the_positions_of_a_network():
    build_settings(CONFIGS, {"model": "transformer", "max_tokens": 512})
    with pytest.raises(UserError, match="^max_tokens: expected at most the 512 positions of the network, got 513"):
        build_settings(CONFIGS, {"model": "transformer", "max_tokens": 513})


POSITIONED = {"position_encoding": "sinusoidal", "max_tokens": 512}


@pytest.mark.parametrize(
    "fields, message",
    [
        ({**POSITIONED, "max_tokens": 513}, "max_tokens: expected at most the 512 positions of the network, got 513"),
        ({**POSITIONED, "ngrams": 2}, "ngrams: expected 1, got 2: the network knows the places of tokens"),
        ({**POSITIONED, "affixes": True}, "affixes: expected false, got true: the network knows the places of tokens"),
        (
            {**POSITIONED, "char_ngrams": "4"},
            "char_ngrams: expected none, got 4: the network knows the places of tokens",
        ),
        (
            {"levels": "sentence", "char_ngrams": "4"},
            "levels: expected text, got sentence: .* char_ngrams=, or levels=",
        ),
        ({"levels": "sentence", "ngrams": 2}, "levels: expected text, got sentence: n-grams and affixes stand in no"),
        ({"levels": "sentence-text", "affixes": True}, "levels: expected text, got sentence-text: .*, or levels=text$"),
    ],
)
def test_tokens_need_the_places_that_a_network_asks_for(fields, message):
    with pytest.raises(UserError, match=f"^{message}"):
        build_settings(CONFIGS, fields)
    free = {"position_encoding": "none", "levels": "text"}
    assert not build_settings(CONFIGS, {**fields, **free}).needs_sentences()
    fitting = {**fields, "levels": "sentence", "ngrams": 1, "affixes": False, "char_ngrams": "", "max_tokens": 512}
    assert build_settings(CONFIGS, fitting).needs_sentences()
