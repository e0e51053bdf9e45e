"""The walk is the network, to rounding; a wrong backward shows where it is and nowhere after."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from engine.report.html import mathml_converter
from engine.support.errors import UserError
from layers.experiments.trace.stages import FORMULAS, SEPARATOR
from layers.experiments.trace.subject import class_number, random_subject
from layers.experiments.trace.table import as_text, short
from layers.experiments.trace.trace import as_json_object, first_wrong, phasor_waves, trace_subject, verdict_line
from layers.experiments.trace.walk import Walk
from layers.networks import CONFIGS as OF_MODEL
from layers.networks import build_network
from layers.networks.text_classifier import example_batch
from layers.wave import READOUTS

TEXT = "profits rose in the third quarter, profits rose"
CONFIGS = [
    {},
    {"operation": "interference", "scope": "text", "blocks": 2},
    {"blocks": 0},
    {"hidden": 0, "wave_residual": False, "readout": "imaginary", "pooling": "cls"},
    {"activation": "relu", "pooling": "max", "blocks": 3, "readout": "real"},
    {"readout": "phase", "operation": "interference"},
]
TRANSFORMER = {"model": "transformer", "dimension": 6, "heads": 3, "positions": 12, "embedding_scale": 1.0}
TRANSFORMERS = [
    {**TRANSFORMER, "heads": 2},
    {**TRANSFORMER, "blocks": 0},
    {**TRANSFORMER, "blocks": 3, "embedding_scale": 0.02},
]


def subject_of(text=TEXT, seed=3, **fields):
    """A Subject whose network has other settings than the usual random one."""
    subject = random_subject(text)
    return subject._replace(network=build_network(config_of(fields), 20, 3, seed, np.float64))


def config_of(fields):
    return OF_MODEL[fields.get("model", "wave")](**{"dimension": 5, "hidden": 6, **fields})


@pytest.mark.parametrize("fields", [*({"token_dropout": 0.2, **wave} for wave in CONFIGS), *TRANSFORMERS])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_the_stages_are_the_network_to_rounding(fields, dtype, tolerance):
    """The planned network merges equal tokens, and so sums in another order.

    A gradient that is 0 on paper is rounding of the others.
    """
    config = config_of({"dropout": 0.3, "label_smoothing": 0.1, **fields})
    network = build_network(
        config, 9, 3, 3, dtype
    )  # a seed for which three blocks do not multiply the rounding of float32
    batch = example_batch(9, 3, [1, 4, 2, 7])
    walk = Walk(network, batch)
    found = {name: p.dense_grad() for name, p in walk.network.parameters().items()}
    loss, cache = network.loss_forward(batch)
    network.loss_backward(cache)
    expected = {name: p.dense_grad() for name, p in network.parameters().items()}
    of_all = np.sqrt(sum(np.sum(gradient**2) for gradient in expected.values()))
    logits = walk.values["classifier"]
    assert abs(walk.values["loss"] - loss) <= tolerance * loss
    assert np.linalg.norm(logits - cache.logits) <= tolerance * np.linalg.norm(cache.logits)
    for name, gradient in expected.items():
        limit = tolerance * (np.linalg.norm(gradient) + 0.01 * of_all)
        assert np.linalg.norm(found[name] - gradient) <= limit, name
        assert found[name].dtype == dtype


@pytest.mark.parametrize("fields", CONFIGS + TRANSFORMERS[:2])
def test_every_value_and_parameter_appears_and_matches(fields):
    subject = subject_of("no word of this text occurs twice", **fields)  # equal rows would tie in a maximum
    traced = trace_subject(subject)
    stages = [stage.name for stage in traced.walk.stages]
    checked = {q.name: q for q in traced.quantities if q.check}
    assert set(subject.network.parameters()) <= set(checked)
    assert {name.removesuffix(".re").removesuffix(".im") for name in checked} - set(
        subject.network.parameters()
    ) == set(stages)
    for name, q in checked.items():
        if name.endswith(
            "key.bias"
        ):  # it moves all scores of a token alike: 0 on paper, which rounding must not make a mismatch
            assert q.check.verdict in ("ok", "rounding") and np.abs(q.gradient).max() < 1e-15
        else:
            assert q.check.verdict == "ok", (name, q.check)
        assert q.check.difference <= 1e-9 * max(1.0, abs(q.check.analytic))
        np.testing.assert_allclose(q.check.entries, np.ravel(q.gradient)[:4], atol=1e-9, rtol=1e-6)
    ok = sum(q.check.verdict == "ok" for q in checked.values())
    assert traced.ok and verdict_line(traced).startswith(
        f"{ok} of {len(checked)} gradients match their numerical values"
    )
    assert (ok == len(checked)) == verdict_line(traced).endswith("values")


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("operation, text", [("modulation", TEXT), ("interference", "one")])
def test_no_gradient_is_wrong_in_any_random_network(operation, readout, text):
    traced = trace_subject(random_subject(text, 1, operation=operation, readout=readout))
    verdicts = [q.check.verdict for q in traced.quantities if q.check]
    assert traced.ok and verdicts.count("ok") >= len(verdicts) - 3  # a phase may lie on its jump where im = 0


def test_no_gradient_is_wrong_in_a_random_transformer():
    """One token: the scores do not matter, what queries and keys receive is 0 or rounding."""
    traced = trace_subject(random_subject("", seed=1, model="transformer"), entries=False)
    assert traced.ok and "kink" not in {q.check.verdict for q in traced.quantities}


def stage_names(**fields):
    subject = subject_of(**fields)
    return [stage.name for stage in Walk(subject.network, subject.batch).stages]


OF_TRANSFORMERS = ["tanh", "blocks.0.attention", "positions"]  # what waves lack


@pytest.mark.parametrize(
    "name, fields",
    [*((n, {}) for n in stage_names()), *((n, {**TRANSFORMER, "text": "one two"}) for n in OF_TRANSFORMERS)],
)
def test_a_wrong_backward_shows_at_its_stage_and_not_after(name, fields):
    def scaled(d):
        return type(d)(1.001 * d.re, 1.001 * d.im) if hasattr(d, "re") else 1.001 * d

    traced = trace_subject(subject_of(**fields), entries=False, faults={name: scaled})
    names = stage_names(**fields)
    position = names.index(name)
    stage = traced.walk.stages[position]
    wrong = {q.name for q in traced.wrong}
    inputs = {q.name for q in traced.quantities if q.kind == "intermediate" and q.stage.name in stage.inputs}
    spoilt = inputs | set(stage.parameters)
    assert spoilt <= wrong
    assert not wrong & {
        q.name for q in traced.quantities if names.index(q.stage.name) >= position and q.name not in spoilt
    }
    assert "worst entry" in traced.wrong[0].check.message
    assert FORMULAS[stage.equation].name in first_wrong(traced) and stage.title in first_wrong(traced)


def test_a_kink_is_named_and_is_no_failure():
    subject = subject_of(activation="relu")
    subject.network.blocks[0].feed_forward.expand.weight.value[:] = 0.0
    traced = trace_subject(subject)
    verdicts = {q.name: q.check for q in traced.quantities if q.check}
    assert verdicts["blocks.0.feed_forward.expand"].verdict == "kink"
    assert "from left" in verdicts["blocks.0.feed_forward.expand"].message
    assert traced.ok and "at a kink" in verdict_line(traced)
    assert "kink" in as_text(traced)


def test_ties_of_a_maximum_are_kinks():
    """The magnitude readout of a modulation is the same for all tokens: every maximum over them is a tie."""
    traced = trace_subject(subject_of(readout="magnitude", wave_residual=False, hidden=0, pooling="max", seed=1))
    assert traced.ok and "kink" in {q.check.verdict for q in traced.quantities if q.check}


def test_a_loss_near_0_can_still_be_checked():
    subject = subject_of()
    subject.network.classifier.bias.value[:] = [18.0, 0.0, 0.0]  # the loss is about 1e-8
    traced = trace_subject(subject)
    assert float(traced.walk.values["loss"]) < 1e-6
    verdicts = [q.check.verdict for q in traced.quantities if q.check]
    assert traced.ok and verdicts.count("ok") > 0.9 * len(verdicts)


def test_nan_is_a_mismatch_and_json_stays_strict(monkeypatch):
    from layers.wave import modulation

    monkeypatch.setattr(modulation, "times_conjugate", lambda dz, z: type(dz)(dz.re * np.nan, dz.im))
    traced = trace_subject(subject_of())
    assert not traced.ok
    text = json.dumps(as_json_object(traced), allow_nan=False)
    assert '"nan"' in text and as_text(traced)


def test_tracing_leaves_the_parameters_as_they_are():
    subject = subject_of()
    before = {name: p.value.copy() for name, p in subject.network.parameters().items()}
    trace_subject(subject)
    for name, p in subject.network.parameters().items():
        assert np.array_equal(p.value, before[name]) and p.value.dtype == np.float64


def test_a_walk_leaves_the_gradients_of_its_network_alone():
    subject = subject_of()
    Walk(subject.network, subject.batch)
    assert all(p.grad is None for p in subject.network.parameters().values())


def test_repeats_exactly():
    assert as_json_object(trace_subject(subject_of())) == as_json_object(trace_subject(subject_of()))


def test_the_random_network_knows_the_words_of_its_text():
    subject = random_subject("Rates rose; rates [CLS] fell & <b>\0🎉")
    assert subject.tokens == [
        "[CLS]",
        "Rates",
        "rose",
        ";",
        "rates",
        "[",
        "CLS",
        "]",
        "fell",
        "&",
        "<",
        "b",
        ">",
        "\0",
        "🎉",
    ]
    assert subject.batch.ids.tolist() == list(range(15)) and subject.network.embedding.table.value.shape == (15, 4)
    repeated = random_subject("a b a")
    assert repeated.batch.ids.tolist() == [0, 1, 2, 1] and repeated.network.embedding.table.value.shape == (3, 4)
    assert random_subject("").tokens == ["[CLS]"]
    assert len(random_subject("word " * 200_000).tokens) == 256
    assert random_subject("a", label="2").batch.labels.tolist() == [2]
    cut = random_subject("word " * 200_000, model="transformer")
    assert len(cut.tokens) == 256 and cut.network.positions.table.value.shape == (256, 4)


def test_unknown_labels_and_dimensions_are_refused():
    with pytest.raises(UserError, match="sport.*: there is no such class; the classes are 0, 1, 2"):
        class_number("sport", ["0", "1", "2"])
    with pytest.raises(UserError, match="dimensions 0 to 3"):
        trace_subject(random_subject("a"), dimension=4)


@pytest.mark.parametrize("scope", ["dimension", "text"])
@pytest.mark.parametrize("operation", ["modulation", "interference"])
def test_phasors_lie_on_their_circles(scope, operation):
    traced = trace_subject(subject_of(scope=scope, operation=operation, blocks=2), dimension=3, entries=False)
    for first, second, combined in phasor_waves(traced):
        for _, z, radius, _ in (first, second):
            np.testing.assert_allclose(abs(z), radius, rtol=1e-12)
        _, z, radius, circle = combined
        if operation == "modulation":
            np.testing.assert_allclose(abs(z), radius, rtol=1e-12)
            assert circle == "G·G′"
        else:
            assert (abs(z) <= radius * (1 + 1e-12)).all()


def test_the_tables_fit_a_terminal():
    lines = as_text(trace_subject(random_subject(TEXT))).splitlines()
    assert max(map(len, lines)) <= 112
    assert "forward" in lines and any(line.startswith("E6   combined wave re") for line in lines)
    numbers = {
        0.0: "0",
        0.5: "0.500",
        -1234.5: "-1234",
        1e-5: "1.0e-05",
        -2.5e7: "-2.5e+07",
        np.inf: "inf",
        np.nan: "nan",
    }
    assert [short(v) for v in numbers] == list(numbers.values()) and short(-0.0) == "0"


def test_every_equation_becomes_mathml():
    pytest.importorskip("latex2mathml", reason="formulas need latex2mathml (extra plots)")
    convert = mathml_converter()
    for equation in FORMULAS.values():
        for latex in (equation.forward + SEPARATOR + equation.backward).split(SEPARATOR):
            root = ElementTree.fromstring(convert(latex))
            assert root.tag.endswith("math") and root.get("displaystyle") == "true"
            assert "\\" not in "".join(root.itertext()), latex
