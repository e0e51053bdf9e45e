"""Steps in shards on a device, whose gradients travel by NCCL: on the emulated device, by a stand-in for NCCL."""

import ctypes
import sys
import threading
import types
import warnings

import numpy as np
import pytest

from engine.arrays.backend import to_host
from engine.cuda import cublas
from engine.training.adamw import AdamW
from engine.training.reduce import ALONE, Alone
from engine.training.reduce_nccl import NcclTransport, nccl_transport, take_gpu
from engine.training.shards import prepared_shards, update_in_shards
from engine.training.step import DeviceRecords
from layers.networks.text_classifier import example_batch
from tests.support.device_networks import NETWORKS, network_of
from tests.support.thread_ranks import ThreadRanks, on_ranks

SHARDS, STEPS = 4, 3
LENGTHS = [5, 1, 20, 0, 3, 2, 7]
BYTES = {1: 4, 2: 8}
FIELDS = ["dropout", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("paper", "positions"))]


class StandInNccl:
    """cupy.cuda.nccl and its communicator of one rank, for ranks that are threads: messages within a group."""

    NCCL_FLOAT32, NCCL_FLOAT64 = BYTES
    available = True

    def __init__(self, ranks):
        self.ranks, self.messages, self.inside = ranks, [], False

    def groupStart(self):  # noqa: N802 (NCCL's name)
        self.messages, self.inside = [], True

    def send(self, address, count, kind, peer, stream):
        assert self.inside and count > 0 and stream == 77
        self.messages.append(("send", address, count * BYTES[kind], peer))

    def recv(self, address, count, kind, peer, stream):
        assert self.inside and count > 0 and stream == 77
        self.messages.append(("recv", address, count * BYTES[kind], peer))

    def groupEnd(self):  # noqa: N802 (NCCL's name)
        """Every receive gets the one message of its size that its peer sends to this rank."""
        self.inside = False
        sent = {m[3]: ctypes.string_at(*m[1:3]) for m in self.messages if m[0] == "send"}
        everyone = self.ranks.all_of(sent)
        for kind, address, size, peer in self.messages:
            if kind == "recv":
                data = everyone[peer].pop(self.ranks.rank)
                assert len(data) == size
                ctypes.memmove(address, data, size)
        assert not self.ranks.all_of(any(self.ranks.rank in theirs for theirs in everyone))[0]


class NcclRanks(ThreadRanks):
    """Ranks that are threads, whose arrays travel by NcclTransport."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        nccl = StandInNccl(self)
        self.transport = NcclTransport(nccl, nccl, self.rank)

    def exchange(self, values, sent, received):
        return self.transport.exchange(values, sent, received)

    def collect(self, values, counts):
        return self.transport.collect(values, counts)


@pytest.fixture
def device(emulation_folder, monkeypatch, record_property):
    """The emulated device with a stream, for one thread at a time."""
    from tests.support.emulated_device import emulated_device

    with emulated_device(emulation_folder, monkeypatch) as emulator:
        lock, launch = threading.Lock(), emulator.launch

        def locked(*arguments):
            with lock:
                return launch(*arguments)

        emulator.launch = locked
        stream = types.SimpleNamespace(ptr=77)
        runtime = types.SimpleNamespace(getDevice=lambda: 0)
        cuda = types.SimpleNamespace(get_current_stream=lambda: stream, runtime=runtime)
        monkeypatch.setattr(cublas, "loaded", lambda *_: None)
        monkeypatch.setattr(sys.modules["cupy"], "cuda", cuda, raising=False)
        yield emulator
    record_property("emulated", True)


def trained(ranks, fields, device, dtype=np.float32):
    """(weights, loss, norm and accuracy of each step) of some steps, the last of fewer texts than there are shards."""
    network = network_of(fields, dtype).to(device)
    optimizer, records = AdamW(network.parameters(), weight_decay=0.01), None
    rows, lines = [np.arange(7), np.array([3, 0, 5, 2, 1, 6, 4]), np.array([2, 6, 0])], []
    data = example_batch(50, 3, LENGTHS, 1)
    for step in range(STEPS):
        batch = prepared_shards(network, data, rows[step], (0, 103, step), SHARDS, ranks, device)
        done = update_in_shards(network, optimizer, batch, 1e-2, 0.5, ranks)
        if device == "cpu":
            lines.append((float(done.loss), float(done.norm), float(done.hits) / batch.texts))
        else:
            records = records or DeviceRecords(done.loss, 0.0)
            records.add(done, optimizer.control, batch, {"step": step})
    optimizer.catch_up()
    if records is not None:
        lines = [(r["loss"], r["gradient_norm"], r["accuracy"]) for r in records.fetch()[0]]
    return {name: to_host(p.value).copy() for name, p in network.parameters().items()}, lines


@pytest.mark.slow
@pytest.mark.parametrize("name", FIELDS)
def test_ranks_on_devices_have_the_same_bits(device, name):
    """One rank with all shards, two and four ranks that send their gradients by NCCL."""
    weights, lines = trained(ALONE, NETWORKS[name], "cuda")
    assert "record_step" not in {kernel for kernel, _ in device.launched}
    for size in (2, 4):
        for found, found_lines in on_ranks(size, lambda ranks: trained(ranks, NETWORKS[name], "cuda"), NcclRanks):
            assert found_lines == lines
            assert all(found[p].tobytes() == value.tobytes() for p, value in weights.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two maps", pytest.param("positions", marks=pytest.mark.thorough)])
def test_shards_on_a_device_learn_what_the_host_learns(device, name):
    weights, lines = trained(ALONE, NETWORKS[name], "cpu", np.float64)
    found, found_lines = trained(ALONE, NETWORKS[name], "cuda", np.float64)
    assert np.allclose(found_lines, lines, rtol=1e-12)
    assert all(np.abs(found[p] - value).max() <= 1e-12 * np.abs(value).max() for p, value in weights.items())


def of_runtime(count, bus_ids, used):
    """The parts of cupy.cuda that nccl_transport() asks."""
    chosen = threading.local()

    def use(number):
        chosen.number = number
        used.append(number)

    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: count,
        getDevice=lambda: chosen.number,
        deviceGetPCIBusId=lambda number: bus_ids[number],
    )
    return types.SimpleNamespace(runtime=runtime, Device=lambda number: types.SimpleNamespace(use=lambda: use(number)))


@pytest.mark.parametrize(
    "count, bus_ids, available, used, reason",
    [
        (2, ["a", "b"], True, [0, 1], None),
        (4, ["a", "b", "c", "d"], True, [0, 1], None),
        (1, ["a"], True, [0, 0], "several ranks share a GPU"),
        (2, ["a", "b"], False, [0, 1], "CuPy finds no NCCL"),
    ],
)
def test_each_rank_takes_the_gpu_of_its_local_rank(monkeypatch, count, bus_ids, available, used, reason):
    """NCCL is used where each has one of its own."""
    taken = []
    nccl = types.ModuleType("cupy.cuda.nccl")
    nccl.available, nccl.get_unique_id = available, lambda: b"number"
    nccl.NcclCommunicator = lambda size, number, rank: (size, number, rank)
    cupy, cuda = types.ModuleType("cupy"), types.ModuleType("cupy.cuda")
    vars(cuda).update(vars(of_runtime(count, bus_ids, taken)), nccl=nccl)
    cupy.cuda = cuda
    for name, module in {"cupy": cupy, "cupy.cuda": cuda, "cupy.cuda.nccl": nccl}.items():
        monkeypatch.setitem(sys.modules, name, module)

    def run(ranks):
        take_gpu(ranks.rank)
        return nccl_transport(ranks)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = on_ranks(2, run)
    assert sorted(taken) == used
    if reason is None:
        assert [transport.communicator for transport in found] == [(2, b"number", 0), (2, b"number", 1)] and not told
    else:
        assert found == [None, None] and [reason in str(warning.message) for warning in told] == [True]


class OneRankOverNccl(Alone):
    """The only rank, whose arrays go through NCCL all the same."""

    def __init__(self):
        self.transport = nccl_transport(self)

    def exchange(self, values, sent, received):
        return self.transport.exchange(values, sent, received)

    def collect(self, values, counts):
        return self.transport.collect(values, counts)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["dropout", "paper", "positions"])
def test_one_rank_over_nccl_has_the_bits_of_a_plain_run(cuda_only, name):
    pytest.importorskip("cupy.cuda.nccl", reason="NCCL is not installed (pip install nvidia-nccl-cu13)")
    ranks = OneRankOverNccl()
    assert ranks.transport is not None, "else nothing went through NCCL"
    expected, lines = trained(ALONE, NETWORKS[name], "cuda")
    found, found_lines = trained(ranks, NETWORKS[name], "cuda")
    assert found_lines == lines
    assert all(found[p].tobytes() == value.tobytes() for p, value in expected.items())
