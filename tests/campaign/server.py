"""The commands serve and explore under attack: wrong requests, clients that are slow or leave, and many at once.

A server goes on: it answers good requests as before, says nothing on standard error, fails on no request (500), keeps
its memory within bounds, and ends when it is asked to.
"""

import contextlib
import http.client
import json
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from engine.report.html import mathml_converter
from engine.support.errors import UserError
from engine.web.server import require_web
from tests.campaign.program import begin, command, corpus_in, in_child
from tests.campaign.requests import Requests, Sent, posted, request
from tests.campaign.trials import Trials

OPTIONS = ["--max-bytes", "20000", "--max-texts", "50", "--timeout", "2"]  # of serve
PATIENCE = 30.0  # seconds for an answer that must come
GROWTH = 150 * 2**20  # bytes of memory beyond those of a server that has answered its first requests
MOST, GOOD = 8, 3  # clients that attack at a time, and those that ask for what is right
CROWD, SPARE = 600, 200  # connections at a time, more than are answered; those that stay open between trials
WAYS = ["whole", "whole", "whole", "cut", "slow", "deaf", "left open"]
TEXTS = ["the ball and the goal", "a loan of the bank", "bread \ud800 & <b>salt</b>", "政治 🎉", ""]
LEAVE_AT_ONCE = struct.pack("ii", 1, 0)  # of SO_LINGER: the connection is reset


class Server:
    """A server process, and what it answers when nothing attacks it. explores: whether it is that of explore."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.explores = words[0] == "explore"
        self.name, told = words[0], folder / f"{words[0]}.err"
        with told.open("wb") as file:
            self.process = subprocess.Popen(command(*words, "--port", "0"), stdout=subprocess.PIPE, stderr=file)
        self.err = told.open("rb")
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found, line
        self.port = int(found[1])
        if self.explores:
            self.good = [
                request(),
                request(target="/?steps=7&width=5&x.1.0=2.5&broken=sign"),
                request(target="/export"),
            ]
        else:
            self.good = [
                posted("/predict", json.dumps({"texts": TEXTS}).encode()),
                request(target="/health"),
                request(),
            ]
        self.expected = [self.answer(sent) for sent in self.good]
        self.most = self.memory() + GROWTH
        self.open: list[socket.socket] = []

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def answer(self, sent: bytes) -> tuple[int, str]:
        """(status, body) of the answer to a whole request."""
        with self.connect() as connection:
            connection.sendall(sent)
            return read(connection)

    def memory(self) -> int:
        """Bytes that are resident; 0 where the system does not tell."""
        with contextlib.suppress(OSError):
            pages = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
            return 1024 * int(pages[1]) if pages else 0
        return 0

    def wrong(self) -> str | None:
        """Name the fault of the server: it has ended, has said something, has grown, or gives wrong_answer()."""
        if self.process.poll() is not None:
            return f"{self.name} ended with {self.process.returncode}: {self.said()}"
        if said := self.said():
            return f"{self.name} said {said}"
        if (memory := self.memory()) > self.most:
            return f"{self.name} takes {memory >> 20} MiB"
        return self.wrong_answer()

    def wrong_answer(self) -> str | None:
        """Name the fault of an answer to a good request: it does not come, or is another one than at first."""
        for sent, expected in zip(self.good, self.expected):
            try:
                found = self.answer(sent)
            except (OSError, http.client.HTTPException) as error:
                return f"{self.name} did not answer {sent[:60]!r}: {error!r}"
            if not alike(found, expected):
                return f"{self.name} answered {sent[:60]!r} with {found[0]} {found[1][:200]!r}"
        return None

    def said(self) -> str:
        """What stands on standard error since the last time."""
        return self.err.read().decode("utf-8", "replace")[-1000:]

    def attack(self, seed: str) -> tuple[str, str | None]:
        """(what was done, what is wrong with the answer)."""
        rng = Random(seed)
        kind, sent = Requests(rng, self.explores).draw()
        way = rng.choice(WAYS)
        problem = None
        with contextlib.suppress(OSError):
            connection = self.connect()
            try:
                problem = self.send(connection, sent, way, rng)
            finally:
                if way == "left open":
                    self.open.append(connection)
                else:
                    connection.close()
        return f"{kind}, {way}", problem

    def send(self, connection: socket.socket, sent: Sent, way: str, rng: Random) -> str | None:
        """What is wrong with the answer to a request that is sent in one of WAYS."""
        data = sent.data
        if way == "slow":
            for piece in pieces(data[:5000], rng.randint(2, 20)):
                connection.sendall(piece)
                time.sleep(rng.uniform(0, 0.03))
            data = data[5000:]
        if way in ("cut", "left open"):
            data = data[: rng.randrange(len(data) + 1)]
        connection.sendall(data)
        if way in ("cut", "deaf"):
            if rng.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LEAVE_AT_ONCE)
            return None
        must_answer = (sent.is_whole or sent.is_refused) and way != "left open"
        connection.settimeout(PATIENCE if must_answer else 0.05)
        try:
            status, body = read(connection)
        except (OSError, http.client.HTTPException) as error:
            return f"no answer to {sent.data[:300]!r}: {error!r}" if must_answer else None
        if status == 500 or (sent.is_refused and status not in (400, 403)):
            return f"{sent.data[:300]!r} was answered with {status} {body[:200]!r}"
        return None

    def crowd(self, rng: Random) -> str | None:
        """Many connections at once, which say nothing or half of something; a good request is answered or refused."""
        with contextlib.ExitStack() as stack:
            for _ in range(rng.randint(CROWD // 2, CROWD)):
                connection = stack.enter_context(self.connect())
                if rng.random() < 0.5:
                    with contextlib.suppress(OSError):
                        connection.sendall(self.good[0][: rng.randrange(len(self.good[0]))])
            status, _ = self.answer(self.good[0])
        return None if status in (200, 503) else f"{self.name} answered {status} in a crowd"

    def end(self) -> str | None:
        """What is wrong with its end."""
        for connection in self.open:
            connection.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return f"{self.name} did not end"
        said = self.said()
        return f"{self.name} ended with {code}: {said}" if code or said else None


def read(connection: socket.socket) -> tuple[int, str]:
    """(status, body) of an answer. Raises OSError and HTTPException."""
    answer = http.client.HTTPResponse(connection)
    try:
        answer.begin()
        return answer.status, answer.read().decode()
    finally:
        answer.close()


def alike(found: tuple[int, str], expected: tuple[int, str]) -> bool:
    """Whether two answers are equal: texts that are computed with others may differ in the last digit."""
    if found == expected:
        return True
    if found[0] != expected[0] or not found[1].startswith("{"):
        return False
    one, other = json.loads(found[1]), json.loads(expected[1])
    if "predictions" not in other:
        return one.keys() == other.keys() and one["status"] == other["status"]  # of /health, which counts texts
    pairs = list(zip(one["predictions"], other["predictions"], strict=True))
    return all(
        a["label"] == b["label"] and all(abs(p - b["probabilities"][c]) < 3e-6 for c, p in a["probabilities"].items())
        for a, b in pairs
    )


def pieces(data: bytes, count: int) -> Iterator[bytes]:
    """Bytes in so many parts."""
    size = max(1, -(-len(data) // count))
    yield from (data[at : at + size] for at in range(0, len(data), size))


def attacked(trials: Trials) -> None:
    """Attack both servers by turns, with up to MOST clients at a time, and now and then with a crowd."""
    try:
        require_web("server")
        mathml_converter("server", "explore")
    except UserError as error:
        print(f"server: left out, since {error}")
        return
    files, run = corpus_in(trials.folder / "corpus"), trials.folder / "run"
    assert in_child(begin(files, run)).code == 0
    servers = [Server(trials.folder, "serve", str(run), *OPTIONS), Server(trials.folder, "explore")]
    try:
        with ThreadPoolExecutor(MOST + GOOD) as pool:
            for number in trials.numbers():
                server = servers[number % 2]
                if number % 100 in (98, 99):
                    done = [("crowd", server.crowd(trials.rng))]
                else:
                    seeds = [f"{trials.rng.random()}" for _ in range(trials.rng.randint(1, MOST))]
                    attacks = pool.map(server.attack, seeds)
                    good = [pool.submit(server.wrong_answer) for _ in range(GOOD)]
                    done = [*attacks, *(("good requests meanwhile", one.result()) for one in good)]
                while len(server.open) > SPARE:
                    server.open.pop(0).close()
                problem = next(filter(None, [problem for _, problem in done]), None) or server.wrong()
                trials.expect(
                    problem, f"{server.name}: {'; '.join(what for what, _ in done)}", f"{server.name} went on"
                )
                if server.process.poll() is not None:
                    break
    finally:
        for server in servers:
            if problem := server.end():
                trials.expect(problem, "at the end")
