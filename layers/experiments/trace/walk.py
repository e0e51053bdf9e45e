"""One text's walk through the readable network and back: every array with its gradient. No mathematics of its own.

A Quantity is an array of the walk with the function that all later stages make of it.

Is one recorded gradient right? The slope of a loss along a random direction, numerically and by hand.

    numeric   weights · (five-point difference of f(X + t·u) at t = 0), from f alone            analytic   ⟨dX, u⟩

u is a random unit vector. f is all that comes after X but for the last step, the loss of f's result; `weights` is the
numerical derivative of that step. A loss near 0 has too few digits for differences, the result before it has them all.
Where the two differ, single entries are looked at, to name the one that is furthest off.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.gradcheck.derivatives import EPSILON, STEPS, TOLERANCES, five_point, one_sided, stencil
from engine.gradcheck.point import Point, entry_scales
from engine.gradcheck.trees import leaves, norm, rebuild
from engine.layer import RowSparse
from engine.types import Array, Floats, Floats2d
from layers.experiments.trace.recording import Again, Recorder
from layers.experiments.trace.stages import Stage, stages_of
from layers.networks import Transformer, WaveNetwork
from layers.networks.parts import twin
from layers.standard.softmax_cross_entropy import softmax_cross_entropy_forward
from layers.wave import global_magnitude_forward, phase_forward

STEP = 1e-30  # of the complex step
READABLE: dict[str, type[WaveNetwork] | type[Transformer]] = {"wave": WaveNetwork, "transformer": Transformer}


class Walk:
    """One batch through the readable network and back, every value and gradient recorded.

    values, gradients: dicts by the names of the stages; values also of "ids". A wave is a Wave, its gradient too.
    network: the readable twin of the given one; its gradients are those of this batch. faults: by name of a stage, a
    function that spoils the gradient that its backward receives.
    """

    def __init__(self, network: Any, batch: RaggedBatch, faults: dict[str, Callable] | None = None):
        self.recorder, self.batch, faults = Recorder(), batch, faults or {}
        self.network = twin(network, self.recorder.functions, READABLE[network.config.model])
        _, cache = self.network.loss_forward(batch)
        calls = self.recorder.calls
        self.stages = stages_of(self.network, calls, cache)
        self.values = {"ids": batch.ids, **{stage.name: calls[stage.number].value for stage in self.stages}}
        self.recorder.faults = {stage.number: faults[stage.name] for stage in self.stages if stage.name in faults}
        self.network.loss_backward(cache, self.values["loss"].dtype.type(1.0))
        self.gradients = {stage.name: self.recorder.gradients[stage.number] for stage in self.stages}

    def logits_with(self, name: str, value: Any) -> Floats2d:
        """The logits when the value `name` is replaced and everything after it is computed anew."""
        number = next(stage.number for stage in self.stages if stage.name == name)
        return self.logits_again(Again(self.recorder.calls, number, value))

    def logits_with_parameter(self, name: str, value: Floats) -> Floats2d:
        """The logits when a parameter is replaced; its own value is back in place afterwards."""
        first, parameter = next((s.number, s.parameters[name]) for s in self.stages if name in s.parameters)
        kept, parameter.value = parameter.value, value
        try:
            return self.logits_again(Again(self.recorder.calls, first))
        finally:
            parameter.value = kept

    def logits_again(self, again: Again) -> Floats2d:
        """The logits of the batch, computed again in part."""
        self.recorder.again = again
        try:
            return self.network.forward(self.batch)[0]
        finally:
            self.recorder.again = None

    def logit_slopes(self) -> Floats2d:
        """(B, C): dL/dlogits by complex step, to rounding, from the forward of the loss alone."""
        logits, labels = self.values["classifier"], self.batch.labels
        slopes = np.zeros_like(logits)
        for index in np.ndindex(*logits.shape):
            moved = logits.astype(np.complex128)
            moved[index] += 1j * STEP
            slopes[index] = softmax_cross_entropy_forward(moved, labels)[0].imag / STEP
        return slopes


CANDIDATES = 8  # directions drawn; the one with the largest ⟨dX, u⟩ is used, lest u be orthogonal to dX by chance
TOLERANCE = 10.0 * TOLERANCES["five_point"]  # relative, that of whole networks
ROUNDINGS = 8.0  # units of rounding of f and of the weights that a difference may have
EXCUSED = 1e-9  # beyond this share of the level, an estimated error of the stencil excuses nothing
KINKS = 10.0  # several kinks at one place can cancel in what is seen of them, by about this factor


class Comparison(NamedTuple):
    """numeric, analytic: the slope along u. entries: numerical derivatives by the first entries, in order.

    verdict: "ok"; "WRONG"; "kink": the function has no derivative here; "rounding": they differ by more than the tolerance
    but by less than rounding explains, so the gradient is too small to be checked. message: says more where not ok.
    """

    numeric: float
    analytic: float
    difference: float
    verdict: str
    message: str
    entries: list


class Problem(NamedTuple):
    """f at a value with its recorded gradient; y = f(value). level: the size of the numbers whose rounding the slope shows."""

    point: Point
    value: np.ndarray
    gradient: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    level: float


def compare(f: Callable, weights, value, gradient, shown=4, searched=0, seed=0):
    """Comparison of a gradient with weights · f near `value`.

    f: array of value's shape → float64 array of the shape of weights, pure. value, gradient: float64 arrays of one shape
    (0-d too). shown: how many entries get a derivative of their own. searched: how many are looked at to name the worst one, where
    the gradient is wrong. seed: of the direction.
    """
    value, gradient, weights = np.asarray(value), np.asarray(gradient), np.ravel(weights)
    point = Point(lambda x: (np.asarray(f(x)), None), (value,))
    y = np.ravel(f(value))
    problem = Problem(point, value, gradient, y, weights, max(1.0, float(np.max(np.abs(y)))) * norm(weights))
    (u,) = best_direction(point, gradient, seed)
    judged = judge(problem, u, None)
    if judged[0] == "WRONG":  # must show at a tenth of the step as well
        closer = judge(problem, u, STEPS["five_point"] / 10.0)
        judged = closer if closer[0] != "WRONG" else judged
    verdict, numeric, analytic, message = judged
    looked_at = max(shown, searched) if verdict == "WRONG" else shown
    entries = [entry_slope(problem, flat) for flat in range(min(looked_at, value.size))]
    if verdict == "WRONG" and searched:
        message = message or worst_entry(problem, entries)
    size = norm(u) or 1.0
    return Comparison(
        numeric / size, analytic / size, abs(numeric - analytic) / size, verdict, message, entries[:shown]
    )


def best_direction(point, gradient, seed):
    drawn = point.random_directions(seed, 0, CANDIDATES)
    with np.errstate(all="ignore"):
        return max(drawn, key=lambda u: np.nan_to_num(abs(np.sum(gradient * u[0]))))


def judge(problem, u, step):
    """(verdict, numeric, analytic, message) along u, which need not be of length 1."""
    weights = problem.weights
    with np.errstate(all="ignore"):
        slope = five_point(problem.point, [u], problem.y, weights, TOLERANCES["five_point"], step)
        numeric, analytic = float(weights @ slope.vector), float(np.sum(problem.gradient * u))
    error = abs(numeric - analytic)
    if not np.isfinite(error):
        return "WRONG", numeric, analytic, "NaN or infinite"
    if slope.kinked and error <= KINKS * slope.kink_size:
        left, right = (one / norm(u) for one in one_sided(problem.point, [u], problem.y, weights, slope.step))
        return "kink", numeric, analytic, f"a kink or a jump: slope {left:.3g} from left, {right:.3g} from right"
    if error <= TOLERANCE * max(abs(numeric), abs(analytic)):
        return "ok", numeric, analytic, ""
    if error <= rounding(problem, slope):
        return "rounding", numeric, analytic, "the difference is within rounding: too small to be checked"
    return "WRONG", numeric, analytic, ""


def rounding(problem, slope):
    """How large a difference the rounding of f, of the weights and of the stencil explains."""
    known = ROUNDINGS * EPSILON * (problem.level / slope.step + norm(slope.vector))
    return known + min(10.0 * slope.uncertainty, EXCUSED * problem.level)


def entry_slope(problem, flat):
    """The numerical derivative by one entry. A single stencil; the full search for a step only where that is in doubt."""
    u = np.zeros(problem.value.shape)
    index = np.unravel_index(flat, u.shape)
    u[index] = scale = float(entry_scales(problem.value)[index])
    analytic, weights = float(problem.gradient[index]) * scale, problem.weights
    with np.errstate(all="ignore"):
        slope = stencil(problem.point, [u], problem.y, weights, STEPS["five_point"])
        if not abs(weights @ slope.vector - analytic) <= TOLERANCE * abs(analytic) + 10.0 * slope.uncertainty:
            slope = five_point(problem.point, [u], problem.y, weights, TOLERANCES["five_point"])
    return float(weights @ slope.vector) / scale


def worst_entry(problem, entries):
    """ "worst entry [2, 1]: numeric 0.5, analytic 0.7" among those looked at."""
    if not entries:
        return ""
    analytic = problem.gradient.ravel()[: len(entries)]
    worst = int(np.argmax(np.nan_to_num(np.abs(np.array(entries) - analytic), nan=np.inf)))
    index = [int(i) for i in np.unravel_index(worst, problem.value.shape)]
    return f"worst entry {index}: numeric {entries[worst]:.6g}, analytic {analytic[worst]:.6g}"


Logits = Callable[[Any], Floats]  # an array of the walk → the logits


class Quantity(NamedTuple):
    """One array of the walk. kind: "intermediate"; "parameter"; "reading": shown, but not on the path (E1 and E2).

    equation: a key of EQUATIONS. logits: of this array → (1, C), computed by all later stages; for the loss, the array
    itself. gradient, logits and check: None for a reading; check is None until checked.
    """

    name: str
    title: str
    kind: str
    equation: str
    stage: Stage
    value: Array
    gradient: Array | None = None
    logits: Logits | None = None
    check: Comparison | None = None


def quantities_of(walk: Walk) -> list[Quantity]:
    """All Quantities, unchecked, in the order of the forward pass; parameters come before the values made with them."""
    found: list[Quantity] = []
    for stage in walk.stages:
        found += [parameter_quantity(walk, stage, name) for name in stage.parameters]
        found += readings(walk, stage)
        parts = zip(leaves(walk.values[stage.name], stage.name), leaves(walk.gradients[stage.name], stage.name))
        for i, ((name, value), (_, gradient)) in enumerate(parts):
            title = stage.title + name[len(stage.name) :].replace(".", " ")
            logits = logits_of_value(walk, stage, i)
            found.append(Quantity(name, title, "intermediate", stage.equation, stage, value, gradient, logits))
    return found


def logits_of_value(walk: Walk, stage: Stage, position: int) -> Logits:
    """The logits as a function of one leaf of a stage's value (a wave has two); the loss stays as it is."""
    if stage.name == "loss":
        return np.asarray
    whole = walk.values[stage.name]
    return lambda x: walk.logits_with(stage.name, with_leaf(whole, position, x))


def with_leaf(tree: Any, position: int, leaf: Any) -> Any:
    """The tree with one leaf replaced."""
    return rebuild(tree, iter([leaf if i == position else old for i, (_, old) in enumerate(leaves(tree, ""))]))


def parameter_quantity(walk: Walk, stage: Stage, name: str) -> Quantity:
    """The Quantity of a parameter; of a table only the rows in use, since the text does not depend on the others."""
    parameter = stage.parameters[name]
    title = f"{stage.title}: {name.rpartition('.')[2]}"
    if not isinstance(parameter.grad, RowSparse):
        logits = partial(walk.logits_with_parameter, name)
        return Quantity(name, title, "parameter", stage.equation, stage, parameter.value, parameter.grad, logits)
    rows, values = parameter.grad
    title = f"{name.replace('.', ' ')} in use"

    def logits_with_rows(x: Floats2d) -> Floats2d:
        table = parameter.value.copy()
        table[rows] = x
        return walk.logits_with_parameter(name, table)

    return Quantity(name, title, "parameter", stage.equation, stage, parameter.value[rows], values, logits_with_rows)


def readings(walk: Walk, stage: Stage) -> list[Quantity]:
    """Global magnitude and phase beside a wave: the closed form E4 does without them."""
    if stage.equation != "token2wave":
        return []
    w, offsets = walk.values[stage.inputs[0]], walk.batch.offsets
    G, _ = global_magnitude_forward(w, offsets, walk.network.config.scope)
    alpha, _ = phase_forward(w, G, offsets)
    parts = [("magnitude", "magnitude G", "global magnitude", G), ("phase", "phase α", "phase", alpha)]
    return [
        Quantity(f"{stage.name}.{name}", f"{stage.title} {title}", "reading", e, stage, value)
        for name, title, e, value in parts
    ]
