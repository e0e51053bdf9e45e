"""A network in a model.onnx, computed by onnxruntime (extra `onnx`): what predicts asks no more of a network."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.support.command import install_extra
from engine.support.errors import UserError, first_line
from engine.support.files import sha256_of
from engine.types import Floats2d


class OnnxNetwork:
    """The network of a model.onnx, which has no parameters that one could see or train."""

    temperature = 1.0  # its graph divides by that of the run

    def __init__(self, path: Path, digest: str) -> None:
        """digest: hexadecimal SHA-256 of the file. UserError where that differs, or onnxruntime is missing."""
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                f"{path}: onnxruntime computes it and cannot be imported ({first_line(error)}); "
                f"run {install_extra('onnx')}"
            ) from None
        found = None
        with contextlib.suppress(OSError):
            found = sha256_of(path)
        if found != digest:
            raise UserError(f"{path}: is damaged (its SHA-256 is not the one in state.json); export the run again")
        self.path = path
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [value.name for value in self.session.get_inputs()]

    def to(self, device: str) -> "OnnxNetwork":
        """Itself: it computes on the CPU."""
        if device != "cpu":
            raise UserError(f"{self.path}: is computed on the CPU; leave --device out, or use the run itself")
        return self

    def probabilities(self, batch: RaggedBatch) -> Floats2d:
        """batch: RaggedBatch of B texts → (B, C) float32."""
        arrays = {"counts": np.ones(len(batch.ids)), **batch._asdict()}
        values = {name: np.asarray(arrays[name], np.int64) for name in self.inputs}
        (found,) = self.session.run(["probabilities"], values)
        probabilities: Floats2d = found
        return probabilities

    def parameters(self) -> dict[str, Any]:
        """UserError: there are none."""
        raise UserError(f"{self.path}: shows no parameters; use the run that it was exported from")

    def state(self) -> dict[str, Any]:
        """UserError: as parameters()."""
        return self.parameters()

    def parameter_count(self) -> int:
        return len(self.parameters())

    def part_rows(self) -> list[Any]:
        return list(self.parameters())

    def describe(self) -> str:
        return str(self.parameters())
