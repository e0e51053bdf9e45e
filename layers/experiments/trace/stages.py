"""The calls of a network as stages: the name of each value, its equation, and the values and parameters it is made of.

A network's caches are trees with a field for each value; the place of a call's cache in that tree is the name of its
value.
"""

from typing import Any, NamedTuple

from engine.layer import Parameter
from layers.experiments.trace.recording import Call

TITLES = {  # by the last part of a name
    "embedding": "embedding rows",
    "positions": "position embeddings",
    "embedding_sum": "tokens + positions",
    "embedding_norm": "normed sums",
    "first_variant": "first variant",
    "second_variant": "second variant",
    "first_wave": "first wave",
    "second_wave": "second wave",
    "combined": "combined wave",
    "readout": "readout",
    "projection": "projection",
    "wave_sum": "readout + input",
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
    "loss": "loss",
}


class Stage(NamedTuple):
    """A call that computes a value.

    name: of the value, dotted as parameters are. title: the same for people. equation: a key of EQUATIONS. inputs:
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
        inputs = tuple(values[id(argument)] for argument in call.arguments if id(argument) in values)
        mine = {n: p for n, p in parameters.items() if any(p.value is argument for argument in call.arguments)}
        title = title_of(name, len(network.blocks))
        stages.append(Stage(name, title, equation_of(name, call), inputs or ("ids",), mine, number))
        values[id(call.value)] = name
    return stages


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
    title = TITLES[last]
    return f"{int(path[1]) + 1}: {title}" if blocks > 1 and path else title


def equation_of(name: str, call: Call) -> str:
    """The key of EQUATIONS of a call."""
    choices = {
        "operation": lambda: call.arguments[2],
        "readout": lambda: f"{call.arguments[1]} readout",
        "pooling": lambda: f"{call.arguments[2]} pooling",
        "embedding": lambda: "position embedding" if name == "positions" else "embedding",
        "residual": lambda: "sum" if name == "embedding_sum" else "residual sum",
        "layer_norm": lambda: "layer norm",
        "softmax_cross_entropy": lambda: "cross-entropy",
    }
    return choices.get(call.pair, lambda: call.pair)()
