"""The fixture `device`: a stand-in for CuPy."""

from tests.support.device_stand_in import device  # noqa: F401 (a fixture)
