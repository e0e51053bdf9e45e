"""Makes support/*.py importable: test files cannot import one another."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "support"))
pytest.register_assert_rewrite("layer_laws", "device_stand_in")

from device_stand_in import device  # noqa: E402, F401 (a fixture, after the path is set)
