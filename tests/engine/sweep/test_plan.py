"""Which runs a sweep file asks for, and what is wrong in one before anything runs."""

import pytest

from engine.support.errors import UserError
from engine.sweep.description import describe, plan, read_description

EXAMPLE = """
preset = "quick"
seeds = [0, 7]
[set]
threads = 1
epochs = 9
[grid]
operation = ["interference", "modulation"]
[grid.corpus]
r52 = { corpus = "r52" }
mine = { train_file = "a.csv", test_file = "texts/b.csv" }
[grid.change]
none = {}
"no dropout" = { token_dropout = 0.0, epochs = 2 }
"""


@pytest.fixture
def read(tmp_path, choices):
    """read(text of a sweep file) → (Description, [run])."""
    (tmp_path / "texts").mkdir()
    for name in ("a.csv", "texts/b.csv"):
        (tmp_path / name).touch()

    def read(text):
        (tmp_path / "sweep.toml").write_text(text)
        return read_description(tmp_path / "sweep.toml", choices)

    return read


def test_every_combination_is_run_with_every_seed(read, choices, tmp_path):
    description, where = read(EXAMPLE)
    runs = plan(description, choices)
    assert where == {} and list(description.axes) == ["operation", "corpus", "change"]
    assert [run.name for run in runs[:4]] == [
        "interference-r52-none-0",
        "interference-r52-none-7",
        "interference-r52-no_dropout-0",
        "interference-r52-no_dropout-7",
    ]
    assert len(runs) == len({run.name for run in runs}) == 16
    by_name = {run.name: run for run in runs}
    mine = by_name["modulation-mine-no_dropout-7"]
    assert mine.labels == ("modulation", "mine", "no dropout")
    data, network, training = mine.settings
    assert (data.train_file, data.test_file) == (str(tmp_path / "a.csv"), str(tmp_path / "texts" / "b.csv"))
    assert (network.operation, network.token_dropout, network.activation) == (
        "modulation",
        0.0,
        "relu",
    )  # the last of the preset
    assert (training.seed, training.epochs, training.threads) == (7, 2, 1)  # an axis wins over [set]
    other = by_name["interference-r52-none-0"].settings
    assert (
        other.data.corpus,
        other.data.train_file,
        other.network.token_dropout,
        other.training.epochs,
        other.training.seed,
    ) == ("r52", "", 0.6, 9, 0)


def test_a_sweep_without_a_grid_is_its_seeds(read, choices):
    runs = plan(read("seeds = [3, 1]")[0], choices)
    assert [(run.name, run.labels, run.settings.training.seed) for run in runs] == [("3", (), 3), ("1", (), 1)]


def test_a_preset_stands_at_the_top_or_in_a_change(read, choices):
    """Else it is that of the model."""
    text = (
        'seeds = [0]\npreset = "paper"\n[set]\nhidden = 3\n'
        '[grid.network]\na = {}\nb = { preset = "transformer-1" }\nc = { preset = "quick", dimension = 5 }'
    )
    a, b, c = (run.settings.network for run in plan(read(text)[0], choices))
    assert (a.model, a.dimension, a.hidden, b.model, b.hidden, c.dimension, c.hidden, c.activation) == (
        "wave",
        768,
        3,
        "transformer",
        3,
        5,
        3,
        "relu",
    )
    runs = plan(read('seeds = [0]\n[grid]\nmodel = ["wave", "transformer"]')[0], choices)
    assert [(run.settings.network.model, run.settings.data.vocabulary_size) for run in runs] == [
        ("wave", 200000),
        ("transformer", 30522),
    ]
    runs = plan(read('seeds = [0]\n[grid]\npreset = ["quick", "paper"]')[0], choices)
    assert [run.settings.network.dimension for run in runs] == [128, 768]


def test_the_default_preset_is_written_down(read, choices):
    """Where all runs have the same; so another default later on changes nothing."""
    later = choices._replace(defaults={"wave": "quick", "transformer": "bert-base"})
    for text in (
        "seeds = [0]",
        'seeds = [0]\n[set]\nmodel = "transformer"',
        'seeds = [0]\npreset = "paper"',
        'seeds = [0]\n[grid]\npreset = ["quick", "paper"]',
    ):
        description = read(text)[0]
        assert plan(description.with_preset(choices), later) == plan(description, choices)
    assert plan(read("seeds = [0]")[0], later) != plan(read("seeds = [0]")[0], choices)
    both = read('seeds = [0]\n[grid]\nmodel = ["wave", "transformer"]')[0]
    assert both.with_preset(choices) == both


@pytest.mark.parametrize(
    "field, other, preset, values",
    [
        ("epochs", "step_budget", "recommended", (6, 2900)),
        ("epochs", "many_classes_epochs", "accurate", (3, 6)),
        ("batch_size", "largest_batch_size", "recommended", (64, 256)),
        ("learning_rate", "many_classes_learning_rate", "interference", (5e-4, 2e-3)),
    ],
)
def test_a_field_asked_for_is_not_changed_by_another(read, choices, field, other, preset, values):
    """Unless that is asked for, too."""
    changes = f"a = {{}}\nb = {{ {field} = 9 }}\nc = {{ {field} = 9, {other} = 7 }}\nd = {{ {other} = 7 }}"
    runs = plan(read(f'preset = "{preset}"\nseeds = [0]\n[grid.change]\n{changes}')[0], choices)
    found = [(getattr(run.settings.training, field), getattr(run.settings.training, other)) for run in runs]
    assert found == [values, (9, 0), (9, 7), (values[0], 7)]


def test_a_corpus_in_an_axis_takes_the_place_of_the_files_of_all(read, choices):
    text = (
        'seeds = [0]\n[set]\ntrain_file = "a.csv"\ntest_file = "texts/b.csv"\n'
        '[grid.texts]\nown = {}\nr8 = { corpus = "r8" }'
    )
    own, r8 = (run.settings.data for run in plan(read(text)[0], choices))
    assert own.train_file and own.test_file and (r8.corpus, r8.train_file, r8.test_file) == ("r8", "", "")


def test_what_a_description_writes_says_the_same_from_any_folder(read, choices, tmp_path):
    """The order of the axes, too: names of runs depend on it."""
    first = read(EXAMPLE.replace("[grid.corpus]", "[grid.flags]\nyes = { wave_residual = true }\n[grid.corpus]"))[0]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "copy.toml").write_text(first.to_toml(device="cpu"))
    again, where = read_description(tmp_path / "elsewhere" / "copy.toml", choices)
    assert (
        where == {"device": "cpu"}
        and again[1:] == first[1:]
        and list(again.axes) == list(first.axes) == ["operation", "flags", "corpus", "change"]
    )
    assert plan(again, choices) == plan(first, choices)


def test_labels_of_values_are_what_one_writes(read, choices):
    axes = read("seeds = [0]\n[grid]\nlearning_rate = [1e-3, 0.5]\nwave_residual = [true, false]\nepochs = [1]")[0].axes
    assert {name: list(axis) for name, axis in axes.items()} == {
        "learning_rate": ["0.001", "0.5"],
        "wave_residual": ["true", "false"],
        "epochs": ["1"],
    }


WRONG = {
    "no TOML": ("seeds = [", ["is not TOML"]),
    "no seeds": ("[set]\nepochs = 1", ["seeds", "nothing", "seeds = [0, 1, 2]"]),
    "seeds no list": ("seeds = 3", ["seeds", "3"]),
    "seeds empty": ("seeds = []", ["seeds", "[]"]),
    "seed no number": ("seeds = [0, 1.5]", ["seeds", "1.5", "whole number"]),
    "seed negative": ("seeds = [-1]", ["seeds", "-1", "from 0"]),
    "seed twice": ("seeds = [1, 0, 1]", ["seeds", "1 is named twice"]),
    "key": ("seeds = [0]\ngird = 1", ["gird", "'grid'"]),
    "field at the top": ("seeds = [0]\nepochs = 1", ["epochs", "[set]"]),
    "set no section": ("seeds = [0]\nset = 1", ["[set]", "1"]),
    "preset": ('seeds = [0]\npreset = "fast"', ["preset", "'fast'", "quick"]),
    "field of set": ("seeds = [0]\n[set]\nepoch = 1", ["[set]", "'epoch'", "'epochs'", "describe --fields"]),
    "value of set": ("seeds = [0]\n[set]\nepochs = 0", ["[set]", "epochs", "0", "from 1"]),
    "seed in set": ("seeds = [0]\n[set]\nseed = 1", ["[set]", "seed", "list seeds"]),
    "model": ('seeds = [0]\n[set]\nmodel = "tree"', ["[set]", "model", "'tree'", "transformer"]),
    "number for a file": ("seeds = [0]\n[set]\ntrain_file = 5", ["[set]", "train_file", "5 is no file", "relative to"]),
    "file": ('seeds = [0]\n[set]\ntrain_file = "no.csv"', ["[set]", "train_file", "no.csv", "relative to"]),
    "file in an axis": ('seeds = [0]\n[grid.corpus]\nx = { train_file = "a.csv", test_file = "no.csv" }',
        ["axis corpus, x", "test_file", "no.csv"]),
    "axis empty": ("seeds = [0]\n[grid]\noperation = []", ["axis operation", "empty"]),
    "axis empty table": ("seeds = [0]\n[grid.change]", ["axis change", "empty"]),
    "axis no list": ('seeds = [0]\n[grid]\noperation = "modulation"', ["axis operation", "'modulation'", "list"]),
    "axis no field": ("seeds = [0]\n[grid]\noperations = [1]", ["axis operations", "'operation'", "[grid.operations]"]),
    "axis of seeds": ("seeds = [0]\n[grid]\nseed = [1, 2]", ["axis seed, 1", "list seeds"]),
    "axis value": ('seeds = [0]\n[grid]\noperation = ["modulation", "sum"]',
        ["axis operation, sum", "'sum'", "interference"]),
    "axis value twice": ('seeds = [0]\n[grid]\nepochs = [1, 2, 1]', ["axis epochs", "1 is named twice"]),
    "axis name": ("seeds = [0]\n[grid.seconds]\na = {}", ["axis seconds", "column"]),
    "axis name of a column that is put in": ("seeds = [0]\n[grid.ensemble]\na = {}", ["axis ensemble", "column"]),
    "axis name of a column of the CSV": ("seeds = [0]\n[grid.ensemble_macro_f1]\na = {}",
        ["axis ensemble_macro_f1", "column"]),
    "axis name of half an interval": ("seeds = [0]\n[grid.interval_low]\na = {}", ["axis interval_low", "column"]),
    "axis field": ("seeds = [0]\n[grid.change]\na = { epoch = 1 }", ["axis change, a", "'epoch'"]),
    "axis preset": ('seeds = [0]\n[grid.change]\na = { preset = "no" }', ["axis change, a", "preset", "'no'"]),
    "change no table": ("seeds = [0]\n[grid.change]\na = 1", ["axis change, a", "1"]),
    "label": ('seeds = [0]\n[grid.change]\n"a\\nb" = {}', ["axis change", "'a\\nb'", "label"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_file_is_named(read, tmp_path, name):
    text, words = WRONG[name]
    with pytest.raises(UserError) as caught:
        read(text)
    message = str(caught.value)
    assert (
        message.startswith(f"{tmp_path / 'sweep.toml'}: ")
        and "\n" not in message
        and all(word in message for word in words)
    ), message


IMPOSSIBLE = {
    "corpus": ('seeds = [0]\n[grid]\ncorpus = ["r8", "r9"]', ["corpus r9", "'r9'", "unknown"]),
    "corpus and file": ('seeds = [0]\n[set]\ncorpus = "r8"\ntrain_file = "a.csv"', ["[set]", "corpus and train_file"]),
    "other model": ('seeds = [0]\n[grid.network]\na = { model = "transformer", operation = "modulation" }',
        ["network a", "operation", "model wave"]),
    "preset of another model": ('seeds = [0]\npreset = "quick"\n[grid]\nmodel = ["wave", "transformer"]',
        ["model transformer", "preset quick", "model wave"]),
    "together": ('seeds = [0]\n[set]\nbeta1 = 0.9\n[grid]\nbeta2 = [0.999, 0.5]', ["beta2 0.5", "beta1"]),
    "field of two axes": ("seeds = [0]\n[grid]\nepochs = [1, 2]\n[grid.long]\na = {}\nb = { epochs = 5 }",
        ["epochs 1, long b", "axis epochs", "axis long"]),
    "same settings": ("seeds = [0]\n[grid.change]\na = {}\nb = { token_dropout = 0.8 }",
        ["change b", "same as change a"]),
    "same value": ("seeds = [0]\n[grid]\nlearning_rate = [1, 1.0]", ["learning_rate 1.0", "same as learning_rate 1"]),
    "same folder": ('seeds = [0]\n[grid.change]\n"a b" = {}\n"a_b" = { epochs = 9 }',
        ["a b", "a_b", "folders", "a_b-0"]),
    "same folder in other letters": ("seeds = [0]\n[grid.change]\na = {}\nA = { epochs = 9 }", ["folders", "A-0"]),
    "same folder by joining": (
        "seeds = [0]\n[grid.x]\na = {}\na-b = { epochs = 9 }\n[grid.y]\nb-c = {}\nc = { hidden = 9 }",
        ["a-b-c-0"]),
    "long label": (f"seeds = [0]\n[grid.change]\n{'a' * 300} = {{}}", ["more than 200 bytes"]),
}  # fmt: skip


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_combination_that_cannot_be_is_named(read, choices, tmp_path, name):
    text, words = IMPOSSIBLE[name]
    description, _ = read(text)
    with pytest.raises(UserError) as caught:
        plan(description, choices)
    message = str(caught.value)
    assert (
        message.startswith(f"{tmp_path / 'sweep.toml'}: ")
        and "\n" not in message
        and all(word in message for word in words)
    ), message


def test_a_value_that_one_of_the_models_takes_is_no_error(choices, tmp_path):
    """hidden = 0 is for wave networks only."""
    values = {"seeds": [0], "set": {"hidden": 0}, "grid": {"model": ["wave"]}}
    assert plan(describe(values, "x", tmp_path, choices), choices)[0].settings.network.hidden == 0
    values["grid"]["model"] = ["transformer"]
    with pytest.raises(UserError, match="x: model transformer: hidden"):
        plan(describe(values, "x", tmp_path, choices), choices)
