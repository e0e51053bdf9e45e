"""Nodes of an ONNX graph under construction, and sums over the texts or sentences of its entries."""

from typing import Any

import numpy as np

from engine.arrays.backend import to_host
from engine.types import Array


class Graph:
    """Nodes and constants of an ONNX graph under construction. Values are known by their names."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: dict[Any, str] = {}  # of constants that are there already

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; returns the name of its result."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """The name of a constant array."""
        array = np.array(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.names:
            self.names[key] = self.array(f"constant_{len(self.names)}", array)
        return self.names[key]

    def array(self, name: str, value: Array) -> str:
        """Add an array of this name, such as a parameter."""
        self.initializers.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(to_host(value)), name))
        return name

    def cast(self, x: str, dtype: str) -> str:
        return self.node("Cast", x, to=getattr(self.onnx.TensorProto, dtype))

    def part(self, x: str, start: int, end: int) -> str:
        """x[start:end] of the first axis."""
        return self.node("Slice", x, self.constant([start], np.int64), self.constant([end], np.int64))

    def filled(self, shape: str, value: Any) -> str:
        """An array of one value, in its dtype. shape: the name of an int64 array."""
        return self.node("ConstantOfShape", shape, value=self.onnx.numpy_helper.from_array(np.array([value])))

    def scattered(self, x: str, numbers: str, count: str, reduction: str, start: Any, width: int) -> str:
        """x: (n, width) → (count, width): the sum or the maximum of the rows of each number (n,), `start` without any.

        Not by ScatterND, which loses some of them now and then where onnxruntime has several threads (its issue 18048).
        """
        column, columns = self.constant([1], np.int64), self.constant([width], np.int64)
        rows = self.node("Expand", self.node("Unsqueeze", numbers, column), self.node("Shape", x))
        filled = self.filled(self.node("Concat", count, columns, axis=0), start)
        return self.node("ScatterElements", filled, rows, x, axis=0, reduction=reduction)


class Segments:
    """The texts or sentences of P entries. numbers: (P,) the segment of each; count: (1,) how many there are."""

    def __init__(self, graph: Graph, ids: str, offsets: str) -> None:
        self.graph, self.offsets = graph, offsets
        one, entries = graph.constant([1], np.int64), graph.node("Shape", ids)
        self.count = graph.node("Sub", graph.node("Shape", offsets), one)
        # A 1 where a segment begins, behind the first one; the running sum counts them.
        begins = graph.part(offsets, 1, -1)
        marks = graph.node(
            "ScatterElements", graph.filled(graph.node("Add", entries, one), np.int64(0)), begins,
            graph.filled(graph.node("Shape", begins), np.int64(1)), reduction="add",
        )  # fmt: skip
        numbers = graph.node("CumSum", marks, graph.constant(0, np.int64))
        self.numbers = graph.part(numbers, 0, -1)

    def gathered(self, x: str, reduction: str, start: Any, width: int) -> str:
        """x: (P, width) → (count, width): the sum or the maximum over each segment; `start` of an empty one."""
        return self.graph.scattered(x, self.numbers, self.count, reduction, start, width)

    def sums(self, x: str, width: int) -> str:
        """x: (P, width) float64 → (count, width)."""
        return self.gathered(x, "add", np.float64(0), width)

    def spread(self, x: str) -> str:
        """x: (count, width) → (P, width)."""
        return self.graph.node("Gather", x, self.numbers)


class Entries:
    """P entries of texts and perhaps sentences. ids: (P,) int64; counts: (P,) float64, how often each occurs."""

    def __init__(self, graph: Graph, ids: str, counts: str, offsets: str, sentence_offsets: str | None = None) -> None:
        self.graph, self.ids, self.counts = graph, ids, counts
        self.texts = Segments(graph, ids, offsets)
        self.sentences = None if sentence_offsets is None else Segments(graph, ids, sentence_offsets)

    def kept(self, mask: str) -> "Entries":
        """The entries of a mask (P,), in the same texts and sentences."""
        graph = self.graph
        sums = graph.node("CumSum", graph.cast(mask, "INT64"), graph.constant(0, np.int64))
        before = graph.node("Concat", graph.constant([0], np.int64), sums, axis=0)
        ids, counts = (graph.node("Compress", x, mask, axis=0) for x in (self.ids, self.counts))
        offsets = graph.node("Gather", before, self.texts.offsets)
        sentences = None if self.sentences is None else graph.node("Gather", before, self.sentences.offsets)
        return Entries(graph, ids, counts, offsets, sentences)
