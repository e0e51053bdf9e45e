"""Functions of PyTorch, JAX and CuPy: what is right passes, what is wrong is found."""

import sys

import numpy as np
import pytest

from engine.gradcheck import (
    assert_gradients,
    check_gradients,
    check_jvp,
    check_properties,
    from_cupy,
    from_jax,
    from_torch,
)
from tests.support import emulation
from tests.support.emulated_device import EmulatedModule, emulated_device

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))
Z = X + 1j * RNG.normal(size=(4, 3))


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[bench]'")
    torch.set_num_threads(1)
    return torch


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", before)


def times(torch, factor=1.0, remembers=True):
    """A Function x·y with its sum; factor: of one gradient and of the tangent. Without remembering it keeps no ctx."""
    seen = []

    class Times(torch.autograd.Function):
        @staticmethod
        def forward(x, y):
            seen[:] = [x, y]
            return x * y, x.sum()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, dproduct, dsum):
            x, y = ctx.saved_tensors if remembers else seen
            return dproduct * y + dsum, factor * dproduct * x

        @staticmethod
        def jvp(ctx, dx, dy):
            x, y = ctx.saved_tensors
            return factor * dx * y + x * dy, dx.sum()

    return Times


def test_a_function_of_torch_is_checked_with_its_forward_mode(torch):
    pair = from_torch(times(torch))
    for report in (check_gradients(*pair, (X, X + 1)), check_jvp(pair.forward, pair.jvp, (X, X + 1))):
        assert_gradients(report)
        assert report.rows[0].method == "complex_step"


def test_a_wrong_function_of_torch_is_found(torch):
    pair = from_torch(times(torch, factor=1.001))
    assert [row.name for row in check_gradients(*pair, (X, X + 1)).failures][-1] == "input 1"
    assert [row.name for row in check_jvp(pair.forward, pair.jvp, (X, X + 1)).failures][-1] == "input 0"


def test_state_outside_of_the_context_is_found(torch):
    """What another call left in a variable of the class is not what this call computed."""
    report = check_gradients(*from_torch(times(torch, remembers=False)), (X, X + 1))
    assert report.failures


def modules(torch):
    nn = torch.nn
    return {
        "linear": nn.Linear(3, 2),
        "deep": nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 2)),
        "batch norm": nn.Sequential(nn.BatchNorm1d(3), nn.Softplus()),
    }


@pytest.mark.parametrize("name", ["linear", "deep", "batch norm"])
def test_modules_of_torch_are_checked_and_left_alone(torch, name):
    module = modules(torch)[name].double()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    pair = from_torch(module)
    torch.manual_seed(1)
    report = check_gradients(*pair, (X,), parameters=pair.parameters)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert check_gradients(*pair, (X,), parameters=pair.parameters) == report
    assert_gradients(report)
    assert [row.name for row in report.rows[3:]] == [
        "input 0",
        *(f"parameter {n}" for n, _ in module.named_parameters()),
    ]
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_gradients(check_jvp(pair.forward, pair.jvp, (X,)))


def test_a_wrong_parameter_of_a_module_is_named(torch):
    product = times(torch, factor=1.001)

    class Scale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.arange(12.0).reshape(4, 3))
            self.frozen = torch.nn.Parameter(torch.ones(3), requires_grad=False)

        def forward(self, x):
            return product.apply(x, self.weight)[0] + self.frozen

    pair = from_torch(Scale().double())
    assert list(pair.parameters) == ["weight"]
    failures = check_gradients(*pair, (X,), parameters=pair.parameters).failures
    assert "parameter weight" in [row.name for row in failures] and "input 0" not in [row.name for row in failures]


TORCH_FUNCTIONS = {
    "complex": (lambda torch: lambda a, b: a @ b.conj(), (Z, Z.T)),
    "integers": (lambda torch: torch.nn.functional.embedding, (np.array([0, 2, 2]), X)),
    "other arguments": (lambda torch: lambda x, text, n: x**n if text == "power" else x, (X, "power", 3)),
    "a pair": (lambda torch: lambda pair: (pair[1] * 2, pair[0] * pair[1]), ((X, X + 1),)),
    "unused": (lambda torch: lambda x, y: x * 2, (X, X)),
    "in place": (lambda torch: lambda x: x.exp_(), (X,)),
    "second order": (
        lambda torch: lambda dy, x: torch.autograd.grad(torch.sin(x), x, dy, create_graph=True)[0],
        (X + 1, X),
    ),
    "scalar": (lambda torch: lambda x: (x * x).sum(), (X,)),
    "constant": (lambda torch: lambda x: torch.ones(2, dtype=x.dtype), (X,)),
}


@pytest.mark.parametrize("name", TORCH_FUNCTIONS)
def test_functions_of_tensors_are_checked(torch, name):
    make, inputs = TORCH_FUNCTIONS[name]
    assert_gradients(check_gradients(*from_torch(make(torch)), inputs))


def test_the_pair_of_a_module_keeps_all_laws(torch):
    pair = from_torch(modules(torch)["deep"].double())
    assert_gradients(check_properties(*pair, (X,), parameters=pair.parameters))


def test_integer_results_have_no_cotangent(torch):
    pair = from_torch(lambda x, rows: (x[rows] ** 2, rows))
    y, cache = pair.forward(X, np.array([1, 1]))
    assert np.array_equal(y[1], [1, 1])
    (dx,) = pair.backward((np.ones((2, 3)), None), cache)
    np.testing.assert_allclose(dx[1], 4 * X[1])


def test_detached_tensors_have_no_gradient(torch):
    """autograd forgets the second factor."""
    assert [row.name for row in check_gradients(*from_torch(lambda x, y: x * y.detach()), (X, X)).failures][
        -1
    ] == "input 1"


def test_some_inputs_of_torch_may_be_chosen(torch):
    assert_gradients(check_gradients(*from_torch(lambda x, y: x * y.detach(), wrt=[0]), (X, X), wrt=[0]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda torch: from_torch(3), "a subclass of Function, a module or a function, got int$"),
        (lambda torch: from_torch(torch.nn.Linear), "got the class Linear$"),
    ],
)
def test_what_is_no_function_of_torch_is_refused(torch, make, message):
    with pytest.raises(ValueError, match=f"^from_torch: expected .*{message}"):
        make(torch)


@pytest.mark.parametrize(
    ("adapter", "library", "arguments"),
    [(from_torch, "torch", (abs,)), (from_jax, "jax", (abs,)), (from_cupy, "cupy", (abs, abs))],
)
def test_a_missing_library_is_named_with_its_remedy(monkeypatch, adapter, library, arguments):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"^{adapter.__name__}: {library} .*pip install {library}") as caught:
        adapter(*arguments)
    assert "\n" not in str(caught.value)


def custom(jax, factor=1.0):
    """x·sin(y)ⁿ with a custom_vjp; factor: of the gradient by y."""
    numpy = jax.numpy

    @jax.custom_vjp
    def f(x, y, n):
        return x * numpy.sin(y) ** n

    def backward(kept, dz):
        x, y, n = kept
        return dz * numpy.sin(y) ** n, factor * dz * x * n * numpy.sin(y) ** (n - 1) * numpy.cos(y), None

    f.defvjp(lambda x, y, n: (f(x, y, n), (x, y, n)), backward)
    return f


def test_a_function_of_jax_with_its_own_backward_is_checked(jax):
    report = check_gradients(*from_jax(custom(jax)), (X, X + 1, 3))
    assert_gradients(report)
    assert report.rows[0].method == "complex_step" and len(report.rows) == 5
    assert [row.name for row in check_gradients(*from_jax(custom(jax, 1.001)), (X, X + 1, 3)).failures][-1] == "input 1"


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_a_function_of_jax_with_its_own_forward_mode_is_checked(jax, factor):
    @jax.custom_jvp
    def f(x, y):
        return x * y, jax.numpy.sum(x)

    f.defjvp(lambda at, along: (f(*at), (factor * along[0] * at[1] + at[0] * along[1], jax.numpy.sum(along[0]))))
    pair = from_jax(f)
    report = check_jvp(pair.forward, pair.jvp, (X, X + 1))
    assert report.ok if factor == 1.0 else [row.name for row in report.failures][-1] == "input 0", str(report)


JAX_FUNCTIONS = {
    "complex": (lambda a, b: a @ b.conj(), (Z, Z.T)),
    "integers": (lambda table, rows: (table[rows] ** 2, rows)[0], (X, np.array([0, 2, 2]))),
    "a pair": (lambda pair: (pair[1] * 2, pair[0] * pair[1]), ((X, X + 1),)),
    "scalar": (lambda x: (x * x).sum(), (X,)),
}


@pytest.mark.parametrize("name", JAX_FUNCTIONS)
def test_functions_of_jax_are_checked(jax, name):
    function, inputs = JAX_FUNCTIONS[name]
    pair = from_jax(jax.jit(function) if name == "scalar" else function)
    assert_gradients(check_gradients(*pair, inputs))
    assert_gradients(check_jvp(pair.forward, pair.jvp, inputs))


def test_integer_results_of_jax_have_no_cotangent(jax):
    pair = from_jax(lambda x, rows: (x[rows] ** 2, rows))
    _, cache = pair.forward(X, np.array([1, 1]))
    (dx,) = pair.backward((np.ones((2, 3)), None), cache)
    np.testing.assert_allclose(dx[1], 4 * X[1])


def test_the_pair_of_a_function_of_jax_keeps_all_laws(jax):
    assert_gradients(check_properties(*from_jax(custom(jax)), (X, X + 1, 3)))


def test_stopped_gradients_of_jax_are_missed_unless_left_out(jax):
    stopped = lambda x, y: x * jax.lax.stop_gradient(y)  # noqa: E731
    assert [row.name for row in check_gradients(*from_jax(stopped), (X, X)).failures][-1] == "input 1"
    assert_gradients(check_gradients(*from_jax(stopped, wrt=[0]), (X, X), wrt=[0]))


def test_jax_without_float64_and_what_is_no_function_are_refused(jax):
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(ValueError, match=r'^from_jax: JAX makes float32 of float64: call jax.config.update\("jax_en'):
        check_gradients(*from_jax(jax.numpy.sin), (X,))
    with pytest.raises(ValueError, match="^from_jax: expected a function, got int$"):
        from_jax(3)


CUBE = r"""
typedef long long index_t;
extern "C" __global__ void cube(const REAL* x, REAL* y, index_t n) {
    index_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * x[i] * x[i];
}
extern "C" __global__ void cube_backward(const REAL* x, const REAL* dy, REAL* dx, index_t n) {
    index_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dx[i] = 3 * x[i] * x[i] * dy[i];
}
"""


@pytest.fixture(params=["emulated", pytest.param("real", marks=pytest.mark.gpu)])
def cupy(request, tmp_path, monkeypatch):
    """CuPy, and an emulation of it on which kernels run on the CPU."""
    if request.param == "real":
        yield pytest.importorskip("cupy")
        return
    if emulation.COMPILER is None:
        pytest.skip("no g++: kernels cannot be executed on the CPU")
    with emulated_device(tmp_path, monkeypatch):
        yield sys.modules["cupy"]


def kernels(cupy):
    """cube and cube_backward as functions of CuPy arrays that launch a kernel."""
    module = cupy.RawModule(code=CUBE, options=("-DREAL=double",))

    def launch(name, *arrays):
        result = cupy.empty_like(arrays[0])
        module.get_function(name)((-(-result.size // 32),), (32,), (*arrays, result, result.size))
        return result

    return lambda x: (launch("cube", x), x), lambda dy, x: launch("cube_backward", x, dy)


def test_raw_kernels_are_checked_by_differences(cupy):
    forward, backward = kernels(cupy)
    report = check_gradients(*from_cupy(forward, backward), (np.asfortranarray(X),))
    assert_gradients(report)
    assert report.rows[0].method == "five_point" and "real_only=False" in report.notes[0]
    wrong = from_cupy(forward, lambda dy, x: backward(dy * 1.001, x))
    assert len(check_gradients(*wrong, (X,)).failures) == 3


def test_functions_of_cupy_may_take_complex_arrays(monkeypatch):
    cupy = EmulatedModule(None)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    pair = from_cupy(lambda x, n: (cupy.exp(x) * n, (x, n)), lambda dy, c: dy * cupy.exp(c[0]) * c[1], real_only=False)
    report = check_gradients(*pair, (X, 3))
    assert_gradients(report)
    assert report.rows[0].method == "complex_step"


def test_a_machine_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", EmulatedModule(None))
    monkeypatch.setattr("engine.gradcheck.frameworks.why_no_cuda", lambda: "no CUDA device is usable (no driver)")
    with pytest.raises(ValueError, match=r"^from_cupy: no CUDA device is usable \(no driver\); without one, "):
        from_cupy(abs, abs)
