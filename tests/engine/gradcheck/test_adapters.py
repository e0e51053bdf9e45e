"""Layers that keep their state, losses and objectives: what is right passes, what is wrong is found."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gradcheck import assert_gradients, check_gradients, check_properties, from_layer, from_loss, from_objective
from tests.support.examples import examples
from tests.support.paths import ROOT

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))
DATA, LABELS = RNG.normal(size=(20, 5)), RNG.integers(0, 2, 20)
W = RNG.normal(size=5)
EXAMPLES = re.findall(
    r"```python\n(.*?)```", (ROOT / "engine/gradcheck/adapters.md").read_text(encoding="utf-8"), re.DOTALL
)


class Affine:
    """y = x·W + b, with state in self. error: factor of one gradient, by name."""

    def __init__(self, **error):
        self.W, self.b = RNG.normal(size=(3, 2)), RNG.normal(size=2)
        self.error = error

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def gradients_for(self, dy):
        factor = lambda name: self.error.get(name, 1.0)  # noqa: E731
        return (self.x.T @ dy) * factor("W"), dy.sum(axis=0) * factor("b"), (dy @ self.W.T) * factor("x")


class WithDicts(Affine):
    """The attributes are those of the dict; the gradients add up."""

    def __init__(self, **error):
        super().__init__(**error)
        self.parameters = {"W": self.W, "b": self.b}
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}

    def backward(self, dy):
        dw, db, dx = self.gradients_for(dy)
        self.gradients["W"] += dw
        self.gradients["b"] += db
        return dx


class WithLists(Affine):
    """The layer reads its parameters from the list; its gradients are there after a backward."""

    def __init__(self, **error):
        super().__init__(**error)
        self.params, self.grads = [self.W, self.b], []

    def forward(self, x):
        self.W, self.b = self.params
        return super().forward(x)

    def backward(self, dy):
        *self.grads, dx = self.gradients_for(dy)
        return dx


class WithMethods(Affine):
    """Nested dicts, from methods."""

    def parameters(self):
        return {"inner": {"W": self.W}, "b": self.b}

    def gradients(self):
        return {"inner": {"W": self.dw}, "b": self.db} if hasattr(self, "dw") else {}

    def backward(self, dy):
        self.dw, self.db, dx = self.gradients_for(dy)
        return dx


class WithAttributes(Affine):
    """Results lie in attributes."""

    def forward(self, x):
        self.output = super().forward(x)

    def backward(self, dy):
        self.dW, self.db, self.dinputs = self.gradients_for(dy)


class WithHistory(WithDicts):
    """Parameters are made by the first forward; backward looks at the first of all that was kept."""

    def __init__(self, **error):
        super().__init__(**error)
        self.parameters, self.kept = dict.fromkeys(self.parameters), []

    def forward(self, x):
        if self.parameters["W"] is None:
            self.parameters = {"W": self.W, "b": self.b}
        self.W, self.b = self.parameters.values()
        self.kept.append(x)
        return super().forward(x)

    def backward(self, dy):
        self.x = self.kept[0]
        return super().backward(dy)

    def flush_gradients(self):
        self.kept = []


def used_once(layer):
    layer.forward(X + 1.0)
    return layer


STYLES = {
    "dicts": (WithDicts, lambda layer: layer, {}),
    "lists": (WithLists, lambda layer: layer, {}),
    "methods": (WithMethods, lambda layer: layer, {}),
    "attributes": (WithAttributes, lambda layer: layer, {"gradients": {"W": "dW", "b": "db"}}),
    "history": (WithHistory, used_once, {}),
}


def check_of(layer, **options):
    pair = from_layer(layer, **options)
    return check_gradients(*pair, (X,), parameters=pair.parameters)


@pytest.mark.parametrize("style", STYLES)
def test_layers_of_every_style_are_checked_with_parameters(style):
    kind, prepare, options = STYLES[style]
    layer = prepare(kind())
    before = (layer.W, layer.W.copy(), getattr(layer, "x", None))
    report = check_of(layer, **options)
    assert_gradients(report)
    assert len(report.rows) == 3 + 3
    assert layer.W is before[0] and np.array_equal(layer.W, before[1]) and getattr(layer, "x", None) is before[2]
    for wrong, block in (("W", 1), ("b", 2), ("x", 0)):
        failed = check_of(prepare(kind(**{wrong: 1.001})), **options).failures
        assert report.rows[3 + block].name in [row.name for row in failed] and len(failed) == 4, wrong


def test_the_pair_of_a_layer_keeps_all_laws():
    pair = from_layer(WithDicts())
    assert_gradients(check_properties(*pair, (X,), parameters=pair.parameters))


@pytest.mark.parametrize("own", [False, True])
def test_random_layers_draw_the_same_numbers_at_every_call(own):
    class Dropout:
        def __init__(self, forgets=False):
            self.forgets, self.rng = forgets, np.random.RandomState(1)

        def forward(self, x):
            self.keep = (self.rng if own else np.random).rand(*x.shape) < 0.5
            return x * self.keep

        def backward(self, dy):
            return dy if self.forgets else dy * self.keep

    reports = []
    for seed in (3, 4):
        np.random.seed(seed)
        expected = np.random.rand()
        np.random.seed(seed)
        reports.append(check_gradients(*from_layer(Dropout()), (X,)))
        assert np.random.rand() == expected
    assert reports[0] == reports[1]
    assert_gradients(reports[0])
    assert len(check_gradients(*from_layer(Dropout(forgets=True)), (X,)).failures) == 3


def test_a_layer_that_writes_no_gradient_fails():
    class Forgets(WithDicts):
        def backward(self, dy):
            self.gradients["W"] += 0.0 * self.W
            return super().backward(dy) if self.error else self.gradients_for(dy)[2]

    assert {"parameter W", "parameter b"} <= {row.name for row in check_of(Forgets()).failures}


class NoBackward:
    def forward(self, x):
        return x


class Unknown(WithAttributes):
    params = property(lambda self: {"W": self.W})


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (
            NoBackward(),
            {},
            r"^layer: expected an object with forward\(x\) and backward\(dy\), got one without backward$",
        ),
        (WithHistory(), {}, r"^layer: its parameters W, b are None: call layer.forward once, to set them$"),
        (Unknown(), {}, r"^layer: it has parameters, but neither layer.gradients nor layer.grads: give gradients="),
        (WithAttributes(), {}, r"give gradients=\{'W': 'dW', 'b': 'db'\}, or \{\} to leave them out$"),
        (WithAttributes(), {"gradients": {"V": "dV"}}, r"^gradients: layer.V is no float array$"),
    ],
)
def test_what_is_no_such_layer_is_refused(layer, options, message):
    with pytest.raises(ValueError, match=message):
        check_of(layer, **options)


def test_gradients_may_be_left_out():
    assert [row.name for row in check_of(WithAttributes(W=2.0), gradients={}).rows] == [
        f"input 0, direction {k}" for k in (1, 2, 3)
    ]


def logistic(w, data, labels, factor=1.0):
    p = 1.0 / (1.0 + np.exp(-(data @ w)))
    loss = -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p)) + 0.1 * w @ w
    return loss, data.T @ (p - labels) / len(labels) + factor * 0.2 * w


def test_a_loss_with_its_gradient_is_checked():
    assert_gradients(check_gradients(*from_loss(logistic, args=(DATA, LABELS)), (W,)))
    assert len(check_gradients(*from_loss(logistic, args=(DATA, LABELS, 0.5)), (W,)).failures) == 3


def residuals(x, scale=1.0):
    return np.array([scale * x[0] * x[1], np.exp(x[0]), x[1] ** 2])


def jacobian(x, scale=1.0):
    return np.array([[scale * x[1], scale * x[0]], [np.exp(x[0]), 0.0], [0.0, 2.0 * x[1]]])


def square(x):
    return float(np.real(x @ x))


OBJECTIVES = {
    "scalar": (square, lambda x: 2 * x, ()),
    "both": (lambda x: (square(x), 2 * x), True, ()),
    "list": (square, lambda x: list(2 * x), ()),
    "row": (square, lambda x: 2 * x.reshape(1, -1), ()),
    "vector": (residuals, jacobian, ()),
    "arguments": (residuals, jacobian, (3.0,)),
    "vector and both": (lambda x: (residuals(x), jacobian(x)), True, ()),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_of_every_form_are_checked(name):
    fun, jac, args = OBJECTIVES[name]
    x = np.array([0.3, -1.2])
    assert_gradients(check_gradients(*from_objective(fun, jac, args=args), (x,)))

    def wrong(x, *args):
        derivative = np.array(jac(x, *args), float)
        derivative.flat[-1] *= 1.01
        return derivative

    def wrong_both(x):
        return fun(x)[0], np.multiply(fun(x)[1], 1.01)

    pair = from_objective(wrong_both, True) if jac is True else from_objective(fun, wrong, args=args)
    assert len(check_gradients(*pair, (x,)).failures) == 3


@given(st.integers(0, 3), st.integers(0, 2), st.floats(0.01, 10.0), st.integers(0, 2**32 - 1))
@examples(20)
def test_one_wrong_entry_of_a_jacobian_is_named(row, column, off, seed):
    a = np.random.default_rng(seed).uniform(0.5, 2.0, (4, 3))
    right = lambda x: a * np.cos(x)  # noqa: E731
    error = np.zeros((4, 3))
    error[row, column] = off
    x = np.array([0.1, 0.4, -0.7])
    assert check_gradients(*from_objective(lambda x: a @ np.sin(x), right), (x,), seed=seed).ok
    report = check_gradients(*from_objective(lambda x: a @ np.sin(x), lambda x: right(x) + error), (x,), seed=seed)
    assert len(report.failures) == 3 and report.rows[0].entry.startswith(f"[{column}]: ")


def test_a_hessian_is_the_jacobian_of_a_gradient():
    optimize = pytest.importorskip("scipy.optimize")
    x = np.array([0.3, -1.2, 0.8])
    assert_gradients(check_gradients(*from_objective(optimize.rosen_der, optimize.rosen_hess), (x,)))
    doubled = from_objective(optimize.rosen_der, lambda x: 2.0 * optimize.rosen_hess(x))
    assert len(check_gradients(*doubled, (x,)).failures) == 3


def test_a_sparse_jacobian_is_checked():
    sparse = pytest.importorskip("scipy.sparse")
    x = np.array([0.3, -1.2, 0.8])
    assert_gradients(check_gradients(*from_objective(lambda x: x**3, lambda x: sparse.diags(3 * x**2)), (x,)))
    wrong = from_objective(lambda x: x**3, lambda x: sparse.diags(2 * x**2))
    assert len(check_gradients(*wrong, (x,)).failures) == 3


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_likelihood_of_scikit_learn_is_checked(factor):
    processes = pytest.importorskip("sklearn.gaussian_process")
    kernel = processes.kernels.RBF(1.5) + processes.kernels.WhiteKernel(0.5)
    process = processes.GaussianProcessRegressor(kernel, optimizer=None).fit(DATA[:, :2], DATA[:, 2])

    def likelihood(theta):
        value, gradient = process.log_marginal_likelihood(theta, eval_gradient=True)
        return value, factor * gradient

    report = check_gradients(*from_loss(likelihood), (kernel.theta,))
    assert report.ok if factor == 1.0 else len(report.failures) == 3, str(report)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: from_objective(square, "2-point"),
            r"^jac: expected a function, or True where fun returns both, got '2",
        ),
        (lambda: from_loss(square), r"^fun: expected \(value, gradient\), got one float$"),
        (lambda: from_loss(lambda x: (1.0, x, x)), r"^fun: expected \(value, gradient\), got 3 results$"),
        (lambda: from_objective(square, lambda x: x[:2]), r"^jac: expected .* \(3,\) or \(1, 3\), got \(2,\)$"),
        (lambda: from_objective(lambda x: x[:2], lambda x: np.ones((3, 2))), r"of shape \(2, 3\), got \(3, 2\)$"),
    ],
)
def test_what_is_no_objective_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        check_gradients(*make(), (np.array([1.0, 2.0, 3.0]),))


@pytest.mark.parametrize("code", EXAMPLES, ids=[re.search(r"from_\w+|check_jvp|\(dy, x\)", e)[0] for e in EXAMPLES])
def test_the_examples_of_the_adapters_run(code):
    """Those of libraries that are not installed are skipped, with the name of the library."""
    for library in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
        pytest.importorskip(library)
    names = {}
    exec(compile(code, "example", "exec"), names)
    assert names["report"].ok
