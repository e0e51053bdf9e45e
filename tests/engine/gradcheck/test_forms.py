"""Inputs, outputs and gradients may have many forms, and every check takes them all."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pytest

from engine.gradcheck import check_gradients, check_jacobian, check_layer, check_properties, compare_backends
from engine.gradcheck.arrays import leaves, rebuild
from engine.layer import Parameter, sum_rows
from tests.support.known_gradients import Pair, matmul, matmul_backward, normal, tanh, tanh_backward


class Frozen(Mapping):
    """A dict that cannot be changed."""

    def __init__(self, parts):
        self.parts = dict(parts)

    def __getitem__(self, key):
        return self.parts[key]

    def __iter__(self):
        return iter(self.parts)

    def __len__(self):
        return len(self.parts)


def times(x, factor):
    return x * factor, (x, factor)


def take(table, ids):
    return np.tanh(table[ids]), (table, ids)


def take_backward(dy, cache):
    table, ids = cache
    return sum_rows(ids, dy * (1.0 - np.tanh(table[ids]) ** 2))


def dense(parameters, x):
    y = np.tanh(x @ parameters["w"] + parameters["b"])
    return y, (parameters, x, y)


def dense_backward(dy, cache):
    parameters, x, y = cache
    dz = dy * (1.0 - y**2)
    return {"b": dz.sum(axis=0), "w": x.T @ dz}, dz @ parameters["w"].T


def nested(z):
    y = z["pair"].re * z["pair"].im + z["more"][0] * z["more"][1]["last"]
    return y, z


def nested_backward(dy, z):
    return {
        "more": [dy * z["more"][1]["last"], {"last": dy * z["more"][0]}],
        "pair": Pair(dy * z["pair"].im, dy * z["pair"].re),
    }


def largest(x):
    at = x.argmax(axis=1)
    return (x[np.arange(len(x)), at], at, {"positive": x > 0.0, "first": 3}), (x.shape, at, x.dtype)


def largest_backward(dy, cache):
    shape, at, dtype = cache
    assert dy[1] is None and dy[2] == {"positive": None, "first": None}
    dx = np.zeros(shape, dtype)
    dx[np.arange(len(at)), at] = dy[0]
    return dx


def outputs(x):
    return {"double": 2.0 * x, "sums": [x.sum(), None]}, x


def outputs_backward(dy, x):
    return 2.0 * dy["double"] + dy["sums"][0] * np.ones_like(x)


W = {"w": normal(0, 3, 2), "b": normal(1, 2)}
NESTED = {"pair": Pair(normal(0, 3), normal(1, 3)), "more": [normal(2, 3), {"last": normal(3, 3)}]}
X, IDS = normal(2, 4, 3), np.array([3, 0, 3])
FLOAT0 = np.zeros((3,), np.dtype([("float0", "V")]))  # as JAX gives for integers
scale = lambda give: lambda dy, c: (dy * c[1], give((dy * c[0]).sum()))  # noqa: E731
# name: (forward, backward, inputs, wrt)
FORMS = {
    "none, not mentioned": (lambda x, mask: tanh(x), tanh_backward, (X, None), None),
    "none, with none for its gradient": (
        lambda x, mask: tanh(x),
        lambda *a: (tanh_backward(*a), None),
        (X, None),
        None,
    ),
    "none first": (lambda mask, x: tanh(x), lambda *a: [None, tanh_backward(*a)], (None, X), None),
    "integers: none": (take, lambda *a: (take_backward(*a), None), (X, IDS), None),
    "integers: zeros": (take, lambda *a: (take_backward(*a), 0 * IDS), (X, IDS), None),
    "integers: float0": (take, lambda *a: (take_backward(*a), FLOAT0), (X, IDS), None),
    "integers: empty": (take, lambda *a: (take_backward(*a), np.zeros(0)), (X, IDS), None),
    "settings: an empty dict": (lambda x, z: tanh(x), lambda *a: (tanh_backward(*a), {}), (X, {"n": 1}), None),
    "integers between": (
        lambda a, n, b: matmul(a, b),
        lambda *a: (matmul_backward(*a)[0], None, matmul_backward(*a)[1]),
        (X, 3, normal(3, 3, 2)),
        None,
    ),
    "left out by wrt": (matmul, matmul_backward, (X, normal(3, 3, 2)), [1]),
    "a pair and an integer": (
        lambda z, n: (z[0] * z[1], z),
        lambda dy, z: ((dy * z[1], dy * z[0]), None),
        ((X, X + 1.0), 2),
        None,
    ),
    "python float": (times, scale(float), (X, 1.5), [0, 1]),
    "python float as 0-d array": (times, scale(np.asarray), (X, 1.5), [0, 1]),
    "python float alone": (times, lambda dy, c: (dy * c[0]).sum(), (X, 1.5), [1]),
    "numpy scalar": (times, scale(lambda d: d), (X, np.float64(1.5)), [0, 1]),
    "0-d array": (times, scale(float), (X, np.array(1.5)), None),
    "python float in a loss of floats": (
        lambda t: (t * t, t),
        lambda dy, t: 2.0 * dy * t,
        (1.5,),
        [0],
    ),
    "complex": (
        lambda x, c: ((x * c), (x, c)),
        lambda dy, k: ((dy * k[1].conjugate()).real, complex((dy * np.conj(k[0])).sum())),
        (X, 1.5 + 0.5j),
        [0, 1],
    ),
    "a float that is a setting": (times, lambda dy, c: (dy * c[1], None), (X, 1.5), None),
    "dict": (dense, dense_backward, (W, X), None),
    "dict alone": (dense, lambda *a: dense_backward(*a)[0], (W, X), [0]),
    "dict alone, wrapped": (dense, lambda *a: (dense_backward(*a)[0],), (W, X), [0]),
    "defaultdict": (dense, dense_backward, (defaultdict(float, W), X), None),
    "mapping": (dense, lambda *a: (Frozen(dense_backward(*a)[0]), dense_backward(*a)[1]), (Frozen(W), X), None),
    "nested dict": (nested, nested_backward, (NESTED,), None),
    "dict with integers and none: missing": (dense, dense_backward, ({**W, "heads": 2, "mask": None}, X), None),
    "dict with integers and none: zero": (
        dense,
        lambda *a: ({**dense_backward(*a)[0], "heads": 0, "mask": None}, dense_backward(*a)[1]),
        ({**W, "heads": 2, "mask": None}, X),
        None,
    ),
    "dict with text, named": (dense, dense_backward, ({**W, "mode": "train"}, X), [0, 1]),
    "tuple with an integer": (
        lambda z: (z[0] * z[1], z),
        lambda dy, z: (dy * z[1], None),
        ((X, 2),),
        None,
    ),
    "integer outputs": (largest, largest_backward, (X,), None),
    "dict of outputs": (outputs, outputs_backward, (X,), None),
}
BLOCKS = {
    "nested dict": ["input 0['pair'].re", "input 0['pair'].im", "input 0['more'][0]", "input 0['more'][1]['last']"],
    "dict with integers and none: zero": ["input 0['w']", "input 0['b']", "input 1"],
    "tuple with an integer": ["input 0[0]"],
    "python float": ["input 0", "input 1"],
}


def doubled(backward):
    """A backward that is wrong: it takes the cotangent twice."""
    return lambda dy, c: backward(rebuild(dy, (2 * leaf for _, leaf in leaves(dy, ""))), c)


@pytest.mark.parametrize("name", FORMS)
def test_every_check_takes_every_form(name):
    forward, backward, inputs, wrt = FORMS[name]
    for check in (check_gradients, check_jacobian, check_properties, compare_backends):
        report = check(forward, backward, inputs, wrt=wrt)
        assert report.ok and not report.failures, str(report)
    for check in (check_gradients, check_jacobian):
        wrong = check(forward, doubled(backward), inputs, wrt=wrt)
        assert len(wrong.failures) == len(wrong.rows) and wrong.worst.numeric is not None, str(wrong)


@pytest.mark.parametrize("name", BLOCKS)
def test_parts_have_names(name):
    forward, backward, inputs, wrt = FORMS[name]
    report = check_jacobian(forward, backward, inputs, wrt=wrt)
    assert [row.name for row in report.rows] == BLOCKS[name]


def test_forward_gets_inputs_as_what_they_were():
    seen = []

    def forward(x, t, s, z):
        seen.append((type(t), type(s), type(z), type(z["of"]), z["n"] is IDS))
        return x * t * s * z["of"]["w"], (x, t, s, z["of"])

    def backward(dy, c):
        x, t, s, z = c
        return (
            dy * t * s * z["w"],
            (dy * x * s * z["w"]).sum(),
            (dy * x * t * z["w"]).sum(),
            {"of": {"w": dy * x * t * s}},
        )

    inputs = (normal(0, 3), 1.5, np.float64(2.0), defaultdict(int, {"of": Frozen({"w": normal(1, 3)}), "n": IDS}))
    report = check_gradients(forward, backward, inputs, wrt=[0, 1, 2, 3], method="five_point")
    assert report.ok and set(seen) == {(float, np.float64, defaultdict, Frozen, True)}, str(report)


def test_what_is_not_differentiated_is_noted():
    report = check_gradients(largest, largest_backward, (X,))
    assert report.notes[:2] == (
        "output[1] (ndarray of int64) is not differentiated: its cotangent is None",
        "output[2]['positive'] (ndarray of bool) is not differentiated: its cotangent is None",
    )


def test_settings_with_running_statistics_start_anew():
    """The dict of a batch norm, of which forward keeps the means; a check leaves it as it was."""
    state = {"mode": "train", "running": {"mean": np.zeros(3)}}

    def forward(x, state):
        state["running"]["mean"] = 0.9 * state["running"]["mean"] + 0.1 * x.mean(axis=0)
        return x + state["running"]["mean"], len(x)

    backward = lambda dy, n: dy + 0.1 * dy.mean(axis=0)  # noqa: E731
    for check in (check_gradients, check_jacobian, check_properties, compare_backends):
        report = check(forward, backward, (X, state))
        assert report.ok, str(report)
        assert not state["running"]["mean"].any()


def test_layers_take_the_forms():
    class Embedding:
        def __init__(self):
            self.weight = Parameter(normal(0, 3))

        def parameters(self):
            return {"weight": self.weight}

        def forward(self, settings, x, ids):
            return (x["table"][ids] * self.weight.value, ids), (x["table"], ids)

        def backward(self, dy, cache):
            table, ids = cache
            self.weight.accumulate((dy[0] * table[ids]).sum(axis=0))
            return None, {"table": sum_rows(ids, dy[0] * self.weight.value)}, None

    report = check_layer(Embedding(), (None, {"table": X}, IDS))
    assert report.ok and report.rows[3].name == "input 1['table']", str(report)
    assert report.notes == (
        "output[1] (ndarray of int64) is not differentiated: its cotangent is None",
        "no empty batch was tried: give one as empty_inputs=",
    )


def test_sound_blocks_are_checked_beside_one_of_wrong_shape():
    backward = lambda dy, c: (matmul_backward(dy, c)[0][0], -matmul_backward(dy, c)[1])  # noqa: E731
    report = check_gradients(matmul, backward, (normal(0, 4, 3), normal(1, 3, 2)))
    assert [(row.name, row.numeric is None) for row in report.failures] == [("input 0", True), ("input 1", False)]


def test_single_gradients_may_be_bare_or_wrapped():
    pair = Pair(normal(0, 3), normal(1, 3))

    def forward(z):
        return z.re * z.im, z

    for backward in (lambda dy, z: Pair(dy * z.im, dy * z.re), lambda dy, z: (Pair(dy * z.im, dy * z.re),)):
        assert check_gradients(forward, backward, (pair,)).ok
    assert check_gradients(tanh, lambda dy, y: (tanh_backward(dy, y),), (normal(0, 3),)).ok
