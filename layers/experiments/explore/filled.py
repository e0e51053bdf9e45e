"""Backward equations with their numbers filled in, for one token and one dimension."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.types import Array
from layers.experiments.trace.stages import Call
from layers.experiments.trace.table import short
from layers.wave import Wave

DIGITS = 4
TERMS = 6  # of a sum that are written out


class Term(NamedTuple):
    """A term of a sum: its numbers as text, and its value."""

    text: str
    value: float


class Filled(NamedTuple):
    """left = the sum of terms. For example dw = 0.12 + 0.5·(0.3/1.2) = 0.245."""

    left: str
    terms: Sequence[Term]

    @property
    def result(self) -> float:
        """The sum."""
        return float(np.sum([term.value for term in self.terms]))

    @property
    def text(self) -> str:
        """The equation in a line; a long sum is cut."""
        shown, more = self.terms[:TERMS], len(self.terms) - TERMS
        parts = [term.text for term in shown]
        if more > 0:
            rest = float(np.sum([term.value for term in self.terms[TERMS:]]))
            parts.append(f"({more} more: {number(rest)})")
        joined = (" + ".join(parts) or "0").replace("+ −", "− ")
        if joined == number(self.result):
            return f"{self.left} = {joined}"
        return f"{self.left} = {joined} = {number(self.result)}"


def number(x: float, digits: int = DIGITS) -> str:
    """A number in few digits, with a true minus sign."""
    return short(float(x), digits).replace("-", "−")


def factor(x: float) -> str:
    """A number as a factor within a product: negative ones in brackets."""
    return f"({number(x)})" if x < 0 else number(x)


def product(*factors: float) -> Term:
    """The product of some numbers."""
    return Term("·".join([number(factors[0]), *map(factor, factors[1:])]), float(np.prod(factors)))


def plain(x: float) -> Term:
    """A number by itself."""
    return Term(number(x), float(x))


def filled_in(call: Call, dy: Any, returned: Any, token: int, k: int) -> list[Filled]:
    """The equations of a call's backward for a token and a dimension k.

    dy: what it received; returned: what it gives back. Nothing for a function that is not in EQUATIONS below.
    """
    fill = EQUATIONS.get(call.pair)
    return fill(call, dy, returned, token, k) if fill else []


def loss(call: Call, dy: Any, returned: Array, token: int, k: int) -> list[Filled]:
    q, label = np.exp(call.cache.log_probabilities[0]), int(call.cache.labels[0])
    found = []
    for c in range(min(len(q), 3)):
        terms = [product(float(dy), q[c])] + [product(float(dy), -1.0)] * (c == label)
        found.append(Filled(f"dz{sub(c)}", terms))
    return found


def linear(call: Call, dy: Array, returned: Any, token: int, k: int) -> list[Filled]:
    x, weight = call.arguments[:2]
    t, k = min(token, len(dy) - 1), min(k, x.shape[1] - 1)
    c = min(k, dy.shape[1] - 1)
    dx = [product(dy[t, j], weight[k, j]) for j in range(dy.shape[1])]
    dweight = [product(x[i, k], dy[i, c]) for i in range(len(x))]
    return [Filled(f"dx{sub(k)}", dx), Filled(f"dW{sub(k)}{sub(c)}", dweight)]


def pooling(call: Call, dy: Array, returned: Array, token: int, k: int) -> list[Filled]:
    if call.arguments[2] == "mean":
        n = len(call.arguments[0])
        return [Filled(f"dx{sub(k)}", [Term(f"{number(dy[0, k])}/{n}", dy[0, k] / n)])]
    return [Filled(f"dx{sub(k)}", [plain(returned[token, k])])]


def layer_norm(call: Call, dy: Array, returned: Any, token: int, k: int) -> list[Filled]:
    x_hat, r, gain = call.cache.normalized[token], float(call.cache.rstd[token, 0]), call.cache.gain
    g = dy[token] * gain
    mean, with_x = float(g.mean()), float((g * x_hat).mean())
    terms = [product(r, g[k]), product(-r, mean), product(-r, x_hat[k], with_x)]
    dgain = [product(*pair) for pair in zip(dy[:, k], call.cache.normalized[:, k])]
    return [Filled(f"dx{sub(k)}", terms), Filled(f"dγ{sub(k)}", dgain)]


def activation(call: Call, dy: Array, returned: Array, token: int, k: int) -> list[Filled]:
    x = float(call.arguments[0][token, k])
    slope = float(call.cache.slope[token, k]) if hasattr(call.cache, "slope") else float(x > 0)
    return [Filled(f"dx{sub(k)}", [product(dy[token, k], slope)])]


def residual(call: Call, dy: Array, returned: Any, token: int, k: int) -> list[Filled]:
    t = min(token, len(dy) - 1)
    k = min(k, dy.shape[1] - 1)
    return [Filled(f"df{sub(k)}", [plain(dy[t, k])]), Filled(f"dx{sub(k)}", [plain(dy[t, k])])]


def readout(call: Call, dy: Array, returned: Wave, token: int, k: int) -> list[Filled]:
    z, kind = call.arguments
    re, im, here, d = float(z.re[token, k]), float(z.im[token, k]), float(dy[token, k]), z.re.shape[1]
    rho = float(np.hypot(re, im))
    parts = {
        "real": ([plain(here)], [plain(0.0)]),
        "imaginary": ([plain(0.0)], [plain(here)]),
        "both": ([plain(here)], [plain(dy[token, (k + d) % dy.shape[1]])]),
        "magnitude": ([quotient(here, re, rho)], [quotient(here, im, rho)]),
        "phase": ([quotient(-here, im, rho, "²")], [quotient(here, re, rho, "²")]),
    }[kind]
    return [Filled(f"{name}{sub(k)}", terms) for name, terms in zip(("dre", "dim"), parts)]


def quotient(x: float, y: float, rho: float, power: str = "") -> Term:
    """x·y/ρ, or x·y/ρ²; 0 where ρ is."""
    divisor = rho * rho if power else rho
    return Term(f"{number(x)}·{factor(y)}/{number(rho)}{power}", x * y / divisor if divisor else 0.0)


def operation(call: Call, dz: Wave, returned: tuple[Wave, Wave], token: int, k: int) -> list[Filled]:
    (a, b, kind), here = call.arguments, (token, k)
    dre, dim = float(dz.re[here]), float(dz.im[here])
    (a_re, a_im), (b_re, b_im) = ((float(w.re[here]), float(w.im[here])) for w in (a, b))
    parts: dict[str, list[list[Term]]] = {
        "interference": [[plain(dre)], [plain(dim)], [plain(dre)], [plain(dim)]],
        "modulation": [
            [product(dre, b_re), product(dim, b_im)],
            [product(dim, b_re), product(-dre, b_im)],
            [product(dre, a_re), product(dim, a_im)],
            [product(dim, a_re), product(-dre, a_im)],
        ],
        "correlation": [
            [product(dre, b_re), product(-dim, b_im)],
            [product(dim, b_re), product(dre, b_im)],
            [product(dre, a_re), product(dim, a_im)],
            [product(-dim, a_re), product(dre, a_im)],
        ],
    }
    names = ("dA.re", "dA.im", "dB.re", "dB.im")
    return [Filled(name, terms) for name, terms in zip(names, parts.get(kind, ()))]


def wave(call: Call, dz: Wave, returned: Array, token: int, k: int) -> list[Filled]:
    w, _, scope, kind = call.arguments
    if kind != "full":
        return [Filled(f"dw{sub(k)}", [plain(returned[token, k])])]
    v = call.value.im
    places = [(j, k) for j in range(len(w))] if scope == "dimension" else list(np.ndindex(*w.shape))
    others = [place for place in places if place != (token, k)]
    terms = [plain(dz.re[token, k])]
    for place in others:
        own, dim, size = float(w[token, k]), float(dz.im[place]), float(v[place])
        terms.append(Term(f"{number(own)}·{factor(dim)}/{number(size)}", own * dim / size if size else 0.0))
    return [Filled(f"dw{sub(k)}", terms)]


def embedding(call: Call, dy: Array, returned: Any, token: int, k: int) -> list[Filled]:
    ids = call.arguments[0]
    same = np.flatnonzero(ids == ids[token])
    return [Filled(f"dE{sub(k)}", [plain(dy[i, k]) for i in same])]


def positions(call: Call, dx: Array, returned: Any, token: int, k: int) -> list[Filled]:
    return [Filled(f"dw{sub(k)}", [plain(dx[token, k])]), Filled(f"dQ{sub(k)}", [plain(dx[token, k])])]


def sub(i: int) -> str:
    """A subscript."""
    return str(i).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


EQUATIONS: dict[str, Callable[[Call, Any, Any, int, int], list[Filled]]] = {
    "softmax_cross_entropy": loss,
    "linear": linear,
    "pooling": pooling,
    "layer_norm": layer_norm,
    "gelu": activation,
    "relu": activation,
    "residual": residual,
    "readout": readout,
    "operation": operation,
    "wave": wave,
    "embedding": embedding,
    "position_encoding": positions,
}
