"""The calls of a network as stages: the name of each value, its equation, and the values and parameters it is made of.

A network's caches are trees with a field for each value; the place of a call's cache in that tree is the name of its
value. FORMULAS has the equations in LaTeX, as they stand in the chapters, for pages that show them. A network that
computes with recording function pairs shows every value and every gradient.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from engine.implementation import Backward, Forward, Functions, Pair
from engine.layer import Parameter
from layers.equations import EQUATIONS, with_compositions
from layers.wave import OPERATIONS, READOUTS, Wave


class Call(NamedTuple):
    """A forward call. pair: name of the function pair; value: its result, whose cache names it."""

    pair: str
    arguments: tuple[Any, ...]
    value: Any
    cache: Any


class Again:
    """A forward pass of which the first calls are known: they return what was recorded.

    number: of the first call that is computed anew. value: what that call returns instead, if it is not None.
    """

    def __init__(self, calls: list[Call], number: int, value: Any = None):
        self.calls, self.number, self.value, self.done = calls, number, value, 0

    def result(self, forward: Forward, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        """(value, cache) of the next call: recorded, replaced or computed."""
        number, self.done = self.done, self.done + 1
        if number < self.number:
            return self.calls[number].value, self.calls[number].cache
        if number == self.number and self.value is not None:
            return self.value, self.calls[number].cache
        return forward(*arguments)


class Recorder:
    """The equations, recorded. calls: those of the last forward pass, in order.

    gradients: by number of the call, the gradient that its backward received. faults: by number of the call, a function
    that spoils that gradient.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.gradients: dict[int, Any] = {}
        self.again: Again | None = None
        self.faults: dict[int, Callable[[Any], Any]] = {}
        recorded = {name: self.recorded(name, *pair) for name, pair in EQUATIONS.pairs.items()}
        self.functions = with_compositions(Functions(recorded))

    def recorded(self, name: str, forward: Forward, backward: Backward) -> Pair:
        """A function pair that records its calls here."""

        def recorded_forward(*arguments: Any) -> tuple[Any, Any]:
            if self.again is not None:
                return self.again.result(forward, arguments)
            value, cache = forward(*arguments)
            self.calls.append(Call(name, arguments, value, cache))
            return value, cache

        def recorded_backward(dy: Any, cache: Any, *more: Any) -> Any:
            number = next(i for i, call in enumerate(self.calls) if call.cache is cache)
            self.gradients[number] = dy
            return backward(self.faults.get(number, lambda d: d)(dy), cache, *more)

        return recorded_forward, recorded_backward


TITLES = {  # by the last part of a name
    "embedding": "embedding rows",
    "positions": "position embeddings",
    "position_encoding": "tokens + positions",
    "embedding_sum": "tokens + positions",
    "embedding_norm": "normed sums",
    "first_variant": "first variant",
    "second_variant": "second variant",
    "first_wave": "first wave",
    "second_wave": "second wave",
    "combined": "combined wave",
    "readout": "readout",
    "projection": "projection",
    "wave_sum": "wave + input",
    "row_sum": "readout + input",
    "wave_norm": "normed rows",
    "expand": "hidden rows",
    "activation": "activated rows",
    "contract": "feed-forward",
    "feed_forward_sum": "feed-forward + input",
    "feed_forward_norm": "normed again",
    "query": "queries q",
    "key": "keys k",
    "value": "values v",
    "attention": "attended values",
    "output": "output map",
    "attention_sum": "output + input",
    "attention_norm": "normed rows",
    "pooling": "pooled vector",
    "pooler": "pooler",
    "tanh": "activated pooler",
    "classifier": "logits",
    "shortcut": "naive Bayes",
    "shortcut_sum": "logits + naive Bayes",
    "loss": "loss",
}


class Stage(NamedTuple):
    """A call that computes a value.

    name: of the value, dotted as parameters are. title: the same for people. equation: a key of FORMULAS. inputs:
    names of the values it takes. parameters: with names as in the network. number: of the call.
    """

    name: str
    title: str
    equation: str
    inputs: tuple[str, ...]
    parameters: dict[str, Parameter]
    number: int


def stages_of(network: Any, calls: list[Call], cache: Any) -> list[Stage]:
    """The stages of a forward pass, in the order of computation; "loss" is the last. cache: that of loss_forward.

    A call that changes nothing, as dropout in prediction, is no stage.
    """
    names = {id(found): name for name, found in caches_by_name("", cache)}
    parameters, stages = network.parameters(), []
    values: dict[int, str] = {}
    for number, call in enumerate(calls):
        if any(call.value is argument for argument in call.arguments):
            continue
        name = names[id(call.cache)]
        known = (values.get(id(part)) for argument in call.arguments for part in parts_of(argument))
        inputs = tuple(dict.fromkeys(name for name in known if name is not None))
        mine = {n: p for n, p in parameters.items() if any(p.value is argument for argument in call.arguments)}
        title = title_of(name, len(network.blocks))
        stages.append(Stage(name, title, equation_of(name, call), inputs or ("ids",), mine, number))
        values.update((id(part), name) for part in parts_of(call.value))
    return stages


def parts_of(value: Any) -> list[Any]:
    """A value, and the two parts of a Wave: one may be replaced."""
    return [value, *value] if isinstance(value, Wave) else [value]


def caches_by_name(name: str, cache: Any) -> list[tuple[str, Any]]:
    """(name, cache) of every part of a tree of caches."""
    found = [(name_of_value(name), cache)]
    if isinstance(cache, tuple):
        fields = getattr(cache, "_fields", range(len(cache)))
        for field, part in zip(fields, cache):
            found += caches_by_name(f"{name}.{field}" if name else str(field), part)
    return found


def name_of_value(path: str) -> str:
    """The name of a value by the path of its cache; a layer norm of a sum has two, those of the sum and of the norm."""
    path = path.removeprefix("network.")
    if path.endswith("_norm.residual"):
        return path.removesuffix("_norm.residual") + "_sum"
    return path.removesuffix(".norm")


def title_of(name: str, blocks: int) -> str:
    """The title of a value, with the number of its block where there are several."""
    *path, last = name.split(".")
    title = f"{TITLES[path.pop()]}, {last}" if last in Wave._fields else TITLES[last]
    return f"{int(path[1]) + 1}: {title}" if blocks > 1 and path else title


def equation_of(name: str, call: Call) -> str:
    """The key of FORMULAS of a call."""
    choices = {
        "operation": lambda: call.arguments[2],
        "wave": lambda: {"full": "token2wave"}.get(call.arguments[3], f"{call.arguments[3]} wave"),
        "position_encoding": lambda: "position encoding",
        "readout": lambda: f"{call.arguments[1]} readout",
        "pooling": lambda: f"{call.arguments[2]} pooling",
        "embedding": lambda: "position embedding" if name == "positions" else "embedding",
        "residual": lambda: "sum" if name in ("embedding_sum", "shortcut_sum") else "residual sum",
        "layer_norm": lambda: "layer norm",
        "softmax_cross_entropy": lambda: "cross-entropy",
        "naive_bayes": lambda: "naive Bayes",
    }
    return choices.get(call.pair, lambda: call.pair)()


SEPARATOR = r", \quad "


class Equation(NamedTuple):
    """The formulas of a stage in LaTeX, parted by SEPARATOR.

    number: in the equation book, "" for the sum of two values.
    """

    number: str
    name: str
    forward: str
    backward: str


FIXED = {
    "global magnitude": Equation("E1", "global magnitude", r"G = \sqrt{\sum_j w_j^2}", r"dw_j = dG\,\frac{w_j}{G}"),
    "phase": Equation(
        "E2", "phase", r"\alpha_j = \mathrm{atan2}\left(\sqrt{1 - (w_j/G)^2},\; w_j/G\right)",
        r"dw_j = -\frac{d\alpha_j}{s_j\,G}, \quad dG = \sum_j \frac{d\alpha_j\,w_j}{s_j\,G^2}",
    ),
    "token2wave": Equation(
        "E4", "token2wave", r"Z_j = w_j + i\,v_j = G\,e^{i\alpha_j}, \quad v_j = \sqrt{\sum_{l \ne j} w_l^2}",
        r"dw_l = d\mathrm{re}_l + w_l \sum_{j \ne l} \frac{d\mathrm{im}_j}{v_j}",
    ),
    "real wave": Equation("E23", "wave without imaginary part", r"Z_j = w_j", r"dw_j = d\mathrm{re}_j"),
    "phase-free wave": Equation(
        "E23", "wave without phases", r"Z_j = G",
        r"dw_j = \left(\sum_l d\mathrm{re}_l\right)\frac{w_j}{G}",
    ),
    "linear": Equation(
        "E8", "linear map", r"y = x\,W + b",
        r"dx = dy\,W^{\mathsf{T}}, \quad dW = x^{\mathsf{T}}\,dy, \quad db = \sum_j dy_j",
    ),
    "embedding": Equation("E9", "embedding", r"y_j = E_{\mathrm{id}_j}", r"dE_i = \sum_{j:\,\mathrm{id}_j = i} dy_j"),
    "position encoding": Equation(
        "E22", "position encoding", r"x_j = w_j + Q_{\mathrm{pos}(j)}",
        r"dw_j = dx_j, \quad dQ_m = \sum_{j:\,\mathrm{pos}(j) = m} dx_j",
    ),
    "position embedding": Equation("E9", "embedding of positions", r"y_j = Q_j", r"dQ_j = dy_j"),
    "layer norm": Equation(
        "E10", "layer norm",
        r"y = \gamma\,\hat{x} + \beta, \quad \hat{x} = (x - \mu)\,r, \quad r = \frac{1}{\sqrt{\sigma^2 + \epsilon}}",
        r"g = dy\,\gamma, \quad dx = r\left(g - \langle g \rangle - \hat{x}\,\langle g\,\hat{x} \rangle\right), \quad "
        r"d\gamma = \sum_j dy_j\,\hat{x}_j, \quad d\beta = \sum_j dy_j",
    ),
    "gelu": Equation("E11", "GELU", r"y = x\,\Phi(x)", r"dx = dy\left(\Phi(x) + x\,\varphi(x)\right)"),
    "relu": Equation("E12", "ReLU", r"y = \max(x, 0)", r"dx = dy\,[x > 0]"),
    "mean pooling": Equation("E14", "pooling, mean", r"y = \frac{1}{n} \sum_j x_j", r"dx_j = \frac{dy}{n}"),
    "max pooling": Equation(
        "E14", "pooling, maximum", r"y_k = \max_j x_{jk}", r"dx_{jk} = dy_k \;\text{at the first maximum, else}\; 0",
    ),
    "cls pooling": Equation("E14", "pooling, first token", r"y = x_1", r"dx_1 = dy, \quad dx_j = 0"),
    "cross-entropy": Equation(
        "E15", "softmax cross-entropy", r"L = -\log\,\hat{q}_a, \quad \hat{q}_c = \frac{e^{z_c}}{\sum_b e^{z_b}}",
        r"dz_c = dL\,(\hat{q}_c - [c = a])",
    ),
    "naive Bayes": Equation(
        "E25", "naive-Bayes shortcut", r"y_c = g_c\,e_c, \quad e_c = \frac{1}{\sqrt n} \sum_j r_{jc}",
        r"dg_c = dy_c\,e_c",
    ),
    "attention": Equation(
        "E18", "attention",
        r"y_j = \sum_l \omega_{jl}\,v_l, \quad \omega_{jl} = \frac{\exp\,a_{jl}}{\sum_r \exp\,a_{jr}}, \quad "
        r"a_{jl} = \frac{q_j \cdot k_l}{\sqrt{d_H}}",
        r"d\omega_{jl} = dy_j \cdot v_l, \quad "
        r"da_{jl} = \omega_{jl}\left(d\omega_{jl} - \sum_r \omega_{jr}\,d\omega_{jr}\right), \quad "
        r"dq_j = \sum_l \frac{da_{jl}}{\sqrt{d_H}}\,k_l, \quad "
        r"dk_l = \sum_j \frac{da_{jl}}{\sqrt{d_H}}\,q_j, \quad "
        r"dv_l = \sum_j \omega_{jl}\,dy_j",
    ),
    "tanh": Equation("E19", "hyperbolic tangent", r"y = \tanh\,x", r"dx = dy\left(1 - y^2\right)"),
    "sum": Equation("E21", "sum", r"y = f + x", r"df = dy, \quad dx = dy"),
    "residual sum": Equation("E21", "residual", r"y = f + x", r"df = dy, \quad dx = dy"),
}  # fmt: skip


class Equations(Mapping):
    """Every equation by its key: FIXED, and those of the records of operations and readouts."""

    def __getitem__(self, key: str) -> Equation:
        if key in OPERATIONS:
            record = OPERATIONS[key]
            return Equation(record.number, record.name, record.latex, record.latex_backward)
        if key.endswith(" readout"):
            readout = READOUTS[key.removesuffix(" readout")]
            return Equation("E7", f"readout, {readout.name}", readout.latex, readout.latex_backward)
        return FIXED[key]

    def __iter__(self) -> Iterator[str]:
        return iter([*OPERATIONS, *(f"{name} readout" for name in READOUTS), *FIXED])

    def __len__(self) -> int:
        return len(OPERATIONS) + len(READOUTS) + len(FIXED)


FORMULAS = Equations()
