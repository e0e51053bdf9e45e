"""The fixture `hub`: a stand-in for the Hugging Face hub."""

from tests.support.hub_server import hub  # noqa: F401 (a fixture)
