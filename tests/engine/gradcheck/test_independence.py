"""engine.gradcheck needs NumPy alone, and nothing else of this project. The plugin: see test_plugin.py."""

import subprocess
import sys

from tests.support.paths import ROOT

REFUSE_ALL_BUT_NUMPY = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "numpy", "engine"}:
            raise ModuleNotFoundError(f"refused: {name}", name=name)

sys.meta_path.insert(0, Refuse())
"""

CHECKS = """
import numpy as np
import engine.gradcheck as gradcheck

def forward(x, w):
    return np.tanh(x @ w), (x, w)

def backward(dy, cache):
    x, w = cache
    dz = dy * (1 - np.tanh(x @ w) ** 2)
    return dz @ w.T, x.T @ dz

class Parameter:
    def __init__(self, value):
        self.value, self.grad = value, None

    def dense_grad(self):
        return self.grad

    grad_array = dense_grad

class Layer:
    def __init__(self):
        self.weight = Parameter(np.arange(6.0).reshape(3, 2) / 7)

    def parameters(self):
        return {"weight": self.weight}

    def forward(self, x):
        return x @ self.weight.value, x

    def backward(self, dy, x):
        self.weight.grad = x.T @ dy
        return dy @ self.weight.value.T

x, w = np.arange(6.0).reshape(2, 3) / 5, np.arange(6.0).reshape(3, 2) / 9
for check in (gradcheck.check_gradients, gradcheck.check_jacobian, gradcheck.check_properties):
    gradcheck.assert_gradients(check(forward, backward, (x, w)))
gradcheck.assert_gradients(gradcheck.check_layer(Layer(), (x,)))
gradcheck.assert_gradients(gradcheck.check_jvp(lambda x: (x * x, None), lambda x, u: 2 * x[0] * u[0], (x,)))
objective = gradcheck.from_objective(lambda x: x @ x, lambda x: 2 * x)
gradcheck.assert_gradients(gradcheck.check_gradients(*objective, (x[0],)))
report = gradcheck.compare_backends(forward, backward, (x, w))
assert report.ok and report.notes == ("no GPU was compared: CuPy is not installed",), report
recorded = gradcheck.check_recorded_gradient(np.tanh, np.ones(6), x.ravel(), 1 - np.tanh(x.ravel()) ** 2, shown=1)
assert recorded.row.verdict == "ok" and len(recorded.entries) == 1, recorded
wrong = gradcheck.check_gradients(forward, lambda dy, cache: backward(-dy, cache), (x, w))
assert len(wrong.failures) == len(wrong.rows), wrong
"""

ONLY_GRADCHECK = """
import sys
ours = {"engine", "layers", "train", "wave_network", "wave_network_pytest"}
loaded = {name for name in sys.modules if name.partition(".")[0] in ours}
others = {name for name in loaded if name != "engine" and not (name + ".").startswith("engine.gradcheck.")}
assert "engine.gradcheck.check" in loaded and not others, others
"""


def run(script):
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_all_checks_work_with_numpy_alone():
    outcome = run(REFUSE_ALL_BUT_NUMPY + CHECKS + ONLY_GRADCHECK)
    assert outcome.returncode == 0, outcome.stderr


def test_what_is_not_there_is_refused():
    """The tests above would notice."""
    outcome = run(REFUSE_ALL_BUT_NUMPY + "import engine.arrays.backend")
    assert outcome.returncode == 1 and "refused: " in outcome.stderr
