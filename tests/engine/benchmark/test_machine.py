"""The description holds what a reader of a figure needs, and nothing but plain values."""

import json
import os

from engine.benchmark import machine


def test_the_description_is_plain_and_complete():
    found = machine.describe_machine()
    assert json.loads(json.dumps(found)) == found
    assert {"processor", "cores", "memory_bytes", "system", "python", "numpy", "blas"} <= found.keys()
    assert 1 <= found["cores"] <= os.cpu_count() and found["processor"]


def test_a_system_that_does_not_tell_is_no_error(monkeypatch):
    monkeypatch.setattr("builtins.open", lambda *_, **__: (_ for _ in ()).throw(OSError))
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine.processor_name() and machine.memory_bytes() is None
