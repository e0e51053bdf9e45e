"""Two options for a second run in a fuller environment: it leaves out what passed in the first.

pytest --passed-to FILE         note the tests that passed
pytest --except-passed FILE     run all others: what was skipped, and what a module that was skipped holds
"""

import json
from pathlib import Path


def add_options(parser):
    group = parser.getgroup("wave network")
    group.addoption("--passed-to", metavar="FILE", help="note the tests that passed")
    group.addoption("--except-passed", metavar="FILE", help="leave out the tests that are noted there")


class Passed:
    """The plugin of both options."""

    def __init__(self, config):
        self.passed = []
        self.noted = None if hasattr(config, "workerinput") else config.option.passed_to  # not by workers of xdist
        self.left_out = config.option.except_passed

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed:
            self.passed.append(report.nodeid)

    def pytest_sessionfinish(self):
        if self.noted:
            Path(self.noted).write_text(json.dumps(self.passed), encoding="utf-8")

    def pytest_collection_modifyitems(self, config, items):
        if self.left_out:
            passed = set(json.loads(Path(self.left_out).read_text(encoding="utf-8")))
            config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
            items[:] = [item for item in items if item.nodeid not in passed]
