"""The equations of the stages as they stand in layers/README.md, in LaTeX, for pages that show them."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from layers.wave import OPERATIONS, READOUTS

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
    "linear": Equation(
        "E8", "linear map", r"y = x\,W + b",
        r"dx = dy\,W^{\mathsf{T}}, \quad dW = x^{\mathsf{T}}\,dy, \quad db = \sum_t dy_t",
    ),
    "embedding": Equation("E9", "embedding", r"y_t = E_{\mathrm{id}_t}", r"dE_i = \sum_{t:\,\mathrm{id}_t = i} dy_t"),
    "position embedding": Equation("E9", "embedding of positions", r"y_t = P_t", r"dP_t = dy_t"),
    "layer norm": Equation(
        "E10", "layer norm",
        r"y = \gamma\,\hat{x} + \beta, \quad \hat{x} = (x - \mu)\,r, \quad r = \frac{1}{\sqrt{\sigma^2 + \epsilon}}",
        r"g = dy\,\gamma, \quad dx = r\left(g - \langle g \rangle - \hat{x}\,\langle g\,\hat{x} \rangle\right), \quad "
        r"d\gamma = \sum_t dy_t\,\hat{x}_t, \quad d\beta = \sum_t dy_t",
    ),
    "gelu": Equation("E11", "GELU", r"y = x\,\Phi(x)", r"dx = dy\left(\Phi(x) + x\,\varphi(x)\right)"),
    "relu": Equation("E12", "ReLU", r"y = \max(x, 0)", r"dx = dy\,[x > 0]"),
    "mean pooling": Equation("E14", "pooling, mean", r"y = \frac{1}{n} \sum_j x_j", r"dx_j = \frac{dy}{n}"),
    "max pooling": Equation(
        "E14", "pooling, maximum", r"y_k = \max_j x_{jk}", r"dx_{jk} = dy_k \;\text{at the first maximum, else}\; 0",
    ),
    "cls pooling": Equation("E14", "pooling, first token", r"y = x_1", r"dx_1 = dy, \quad dx_j = 0"),
    "cross-entropy": Equation(
        "E15", "softmax cross-entropy", r"L = -\log\,p_a, \quad p_c = \frac{e^{z_c}}{\sum_b e^{z_b}}",
        r"dz_c = dL\,(p_c - [c = a])",
    ),
    "attention": Equation(
        "E18", "attention",
        r"y_j = \sum_l p_{jl}\,v_l, \quad p_{jl} = \frac{\exp\,s_{jl}}{\sum_i \exp\,s_{ji}}, \quad "
        r"s_{jl} = \frac{q_j \cdot k_l}{\sqrt{e}}",
        r"dp_{jl} = dy_j \cdot v_l, \quad ds_{jl} = p_{jl}\left(dp_{jl} - \sum_i p_{ji}\,dp_{ji}\right), \quad "
        r"dq_j = \sum_l \frac{ds_{jl}}{\sqrt{e}}\,k_l, \quad "
        r"dk_l = \sum_j \frac{ds_{jl}}{\sqrt{e}}\,q_j, \quad "
        r"dv_l = \sum_j p_{jl}\,dy_j",
    ),
    "tanh": Equation("E19", "hyperbolic tangent", r"y = \tanh\,x", r"dx = dy\left(1 - y^2\right)"),
    "sum": Equation("", "sum", r"y = a + b", r"da = dy, \quad db = dy"),
    "residual sum": Equation("", "residual sum", r"y = a + b", r"da = dy, \quad db = dy"),
}  # fmt: skip


class Equations(Mapping):
    """Every equation by its key: EQUATIONS, and those of the records of operations and readouts."""

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


EQUATIONS = Equations()
