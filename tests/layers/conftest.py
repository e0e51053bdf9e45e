"""Makes support/*.py importable: test files cannot import one another."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "support"))
from device_stand_in import device  # noqa: E402, F401 (a fixture, after the path is set)
