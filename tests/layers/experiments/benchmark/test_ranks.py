"""Steps of one process and of several ranks are measured in turns."""

import pytest

import train
from layers.experiments.benchmark import ranks as ranks_module
from layers.experiments.benchmark.ranks import as_table, link, measured
from layers.networks.presets import PRESETS
from tests.support.thread_ranks import on_ranks


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(ranks_module, "VOCABULARY", 30_522)
    monkeypatch.setattr(ranks_module, "WORKLOADS", {"paper_8": ("paper", 8)})
    monkeypatch.setattr(ranks_module, "LINK_NUMBERS", (1, 64))
    for name, value in {"dimension": 4, "hidden": 4}.items():
        monkeypatch.setitem(PRESETS["paper"], name, value)


def test_steps_are_measured_and_what_they_send(small):
    def run(ranks):
        rows = list(measured(ranks, 1))
        return rows, as_table(rows, ranks, link(ranks, 1))

    ((row,), table), _ = on_ranks(2, run)
    assert (row.preset, row.texts) == ("paper", 8)
    assert min(row.one, row.one_in_shards, row.share, row.update, row.ranks, row.exchanging, row.agreeing) > 0
    assert row.exchanging + row.agreeing < row.ranks
    # Each rank sends the half of its dense gradient, of loss and hits, and of its rows; then as much of the sum.
    dense = 4 * 4 * 3 + 4 * 3 + 4 * 2 * 2 + 4 * 4 + 4 + 2
    assert 4 * dense < 1e6 * row.megabytes < 4 * (dense + 2 * 4 * row.rows)
    assert "2 ranks" in table and "4 bytes in" in table and "256 bytes in" in table


def test_a_single_process_is_told_what_to_do(capsys):
    assert train.main(["benchmark", "--ranks"]) == 2
    assert capsys.readouterr().err == (
        "error: --ranks: nothing has started several ranks; put mpiexec -n 2 before the command\n"
    )


def test_an_unknown_workload_is_named(small):
    (error, _) = on_ranks(2, lambda ranks: list(measured(ranks, 1, ["paper_9"])))
    assert str(error) == "--only paper_9: is none of paper_8"
