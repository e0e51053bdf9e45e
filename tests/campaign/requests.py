"""Requests over HTTP that are wrong somewhere: in their bytes, head, length, chunks, host, query, form or JSON."""

import json
from random import Random
from typing import NamedTuple
from urllib.parse import quote_plus

from tests.campaign.mutate import VALUES, WORDS, bytes_changed, value_changed

HOSTS = [
    "", "evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "[", "[::1", "0.0.0.0", "localhost.evil",
    "a" * 3000, "\xff", "127.1", "2130706433", "[::ffff:8.8.8.8]", "local host", "é.example",
]  # fmt: skip
ORIGINS = [
    "null",
    "",
    "http://evil.example",
    "https://127.0.0.1",
    "http://localhost:3000",
    "http://[",
    "file://",
    "\xff",
]
LENGTHS = ["-1", "0", "1", "99", "99999", "9" * 30, "x", "1, 1", "+5", "0x5", "1e3", "", "5\x00", "٣"]
CHUNKS = [
    b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"-1\r\n", b"zz\r\n", b"ffffffffffffffffff\r\nx", b"5\r\nhel", b"0",
    b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 5000, b"1\r\nx\r\n" * 3000,
    b"fffff\r\n" + b"x" * 90_000, b"1" + b"0" * 40 + b"\r\n", b"\r\n" * 50, b"0\r\nA\r\n\r\n", b"1;" + b"x" * 70_000,
]  # fmt: skip
NOISE = [
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n",
    b"\r\n" * 100, b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n", b"GET  /  HTTP/1.1\r\n\r\n", b"\0" * 5000,
    b"GET / HTTP/1.1\n\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
]  # fmt: skip
TEXTS = [
    "", " ", "\0", "\ud800", "\udfff\ud800", "\u202eabc", "e\u0301" * 300, "👩‍👩‍👧‍👦" * 50, "\ufeff", "ﷺ" * 50,
    "\x1b[2J", "<script>alert(1)</script>", "a\u2028b\u2029c\x85d", "İıſK", "٣٤", "𝒜" * 100, "x" * 9000,
    " \t\r\n" * 500, "政治" * 100, "ß" * 100,
]  # fmt: skip
FIELDS = {  # of a query, with values that are usual
    "text": ["a b c", "é ü", "to be or not", "🎉 x", "<b>a</b>"], "label": [""], "width": ["2", "5", "8"],
    "seed": ["7"], "operation": ["interference", "modulation"], "readout": ["both", "phase", "magnitude"],
    "scope": ["sentence"], "positions": ["none"], "block": ["normed"], "dimension": ["0", "1"], "token": ["0", "1"],
    "steps": ["0", "5", "300"], "learns": ["tokens"], "rate": ["0.5", "10"], "broken": ["sign", "factor", "path"],
    "at": ["classifier", "combined"], "step": ["0", "3", "99"], "grow": ["0", "24"], "of": [""],
    "x.0.0": ["1", "-1000"], "x.1.1": ["0", "1e-300", "2.5"], "x.9.9": ["1"], "x.": ["1"], "x.a.b": ["1"], "y": ["1"],
    "": ["1"],
}  # fmt: skip
ODD = [*WORDS, *TEXTS]
KINDS = ["changed", "head", "length", "chunks", "noise", "host", "query", "form", "json", "several"]


class Sent(NamedTuple):
    """The bytes of a request, whether they are a whole one that must be answered, and whether it must be refused."""

    data: bytes
    is_whole: bool = False
    is_refused: bool = False


def request(
    method: str = "GET", target: str = "/", fields: list[tuple[str, str]] | None = None, body: bytes = b""
) -> bytes:
    """The bytes of a request. fields: of its head, Host in front unless they hold one."""
    fields = list(fields or [])
    if not any(name == "Host" for name, _ in fields):
        fields.insert(0, ("Host", "localhost"))
    if body and not any(name in ("Content-Length", "Transfer-Encoding") for name, _ in fields):
        fields.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def posted(target: str, body: bytes, media: str = "application/json") -> bytes:
    return request("POST", target, [("Content-Type", media)], body)


class Requests:
    """Draws requests that are wrong somewhere, for the command serve or, with `explores`, for explore."""

    def __init__(self, rng: Random, explores: bool) -> None:
        self.rng, self.explores = rng, explores
        body = json.dumps({"texts": ["the ball and the goal", "a loan of the bank"]}).encode()
        form = posted("/", b"text=ball+and+goal", "application/x-www-form-urlencoded")
        self.good = [request(), request(target="/?steps=3&width=5&x.1.0=2.5"), request(target="/export")]
        if not explores:
            self.good = [posted("/predict", body), form, request(), request(target="/health")]

    def draw(self) -> tuple[str, Sent]:
        """(kind, a request of this kind)."""
        kind = self.rng.choice([kind for kind in KINDS if not self.explores or kind not in ("form", "json")])
        return kind, getattr(self, kind)()

    def changed(self) -> Sent:
        return Sent(bytes_changed(self.rng, self.rng.choice(self.good)))

    def head(self) -> Sent:
        """A head that is long or repeats itself."""
        rng, size = self.rng, self.rng.choice([100, 1000, 20_000, 300_000])
        long = rng.choice(["x", "é", "\udcff", " ", "%", "%00", "../", "a/"]) * size
        return Sent(
            rng.choice(
                [
                    request(target="/" + long),
                    request(target="/?text=" + long),
                    request("X" * size),
                    request(fields=[("A", long)]),
                    request(fields=[(long, "a")]),
                    request(fields=[(f"A{number}", "b") for number in range(size // 20)]),
                    request(fields=[("Host", "localhost")] * (size // 20)),
                    request(fields=[("Accept", "text/html," * (size // 10)), ("HX-Request", "true")]),
                ]
            )
        )

    def length(self) -> Sent:
        """A length that is not the body's, in one field or two."""
        rng = self.rng
        lengths = [("Content-Length", rng.choice(LENGTHS)) for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.2:
            lengths.append(("Transfer-Encoding", rng.choice(["chunked", "gzip", "chunked, chunked", "identity"])))
        body = rng.choice([b"", b"hello", b'{"texts": []}', b"x" * 30_000])
        media = rng.choice(["application/json", "application/x-www-form-urlencoded"])
        target = rng.choice(["/", "/predict"])
        return Sent(request("POST", target, [("Content-Type", media), *lengths], body))

    def chunks(self) -> Sent:
        fields = [("Transfer-Encoding", "chunked"), ("Content-Type", "application/json")]
        body = self.rng.choice(CHUNKS)
        body = bytes_changed(self.rng, body) if self.rng.random() < 0.5 else body
        return Sent(request("POST", self.rng.choice(["/", "/predict"]), fields, body))

    def noise(self) -> Sent:
        return Sent(self.rng.choice([*NOISE, self.rng.randbytes(self.rng.choice([1, 10, 1000, 100_000]))]))

    def host(self) -> Sent:
        """Another host, or a page of another one: never an answer, at best a refusal."""
        if self.rng.random() < 0.5:
            return Sent(request(fields=[("Host", self.rng.choice(HOSTS))]), is_refused=True)
        return Sent(request(fields=[("Origin", self.rng.choice(ORIGINS))]), is_refused=True)

    def query(self) -> Sent:
        """A query of usual values and one odd one; steps stay few enough to be computed in a second."""
        names = self.rng.sample(list(FIELDS), self.rng.randint(1, 5))
        odd = self.rng.choice([*names, None])
        pairs = [(name, self.rng.choice(ODD if name == odd != "steps" else FIELDS[name])) for name in names]
        query = "&".join(f"{quote_plus(name)}={quote_plus(value, errors='surrogatepass')}" for name, value in pairs)
        if self.rng.random() < 0.2:
            query += self.rng.choice(["&", "&&", "=", "%", "%zz", "%ff", ";", "?", "+"])
        return Sent(request(target=f"{self.rng.choice(['/', '/', '/export', '/health', '/x'])}?{query}"), is_whole=True)

    def form(self) -> Sent:
        text = quote_plus(self.rng.choice([*TEXTS, *WORDS]), errors="surrogatepass").encode()
        body = self.rng.choice([b"text=%b", b"text=%b&text=%b", b"%b=text", b"%b"])
        body = body.replace(b"%b", text)
        if self.rng.random() < 0.3:
            body = bytes_changed(self.rng, body)
        fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", str(len(body)))]
        fields += [("HX-Request", "true")] if self.rng.random() < 0.5 else []
        return Sent(request("POST", "/", fields, body), is_whole=True)

    def json(self) -> Sent:
        """Odd texts, other values, or changed bytes."""
        rng, kind = self.rng, self.rng.random()
        good = {"texts": rng.choices(TEXTS, k=rng.choice([0, 1, 3, 60]))}
        if kind < 0.3:
            body = json.dumps(good, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        elif kind < 0.7:
            body = json.dumps(value_changed(rng, {"texts": ["ball", rng.choice(VALUES)]})).encode()
        else:
            body = bytes_changed(rng, b'{"texts": ["the ball \\ud83c\\udf89", "a \\u0000"]}')
        fields = [("Content-Type", rng.choice(["application/json"] * 5 + ["text/json", "application/json; charset=x"]))]
        fields.append(("Content-Length", str(len(body))))
        return Sent(request("POST", "/predict", fields, body), is_whole=True)

    def several(self) -> Sent:
        """Several at once on one connection."""
        kinds = [kind for kind in KINDS if kind != "several"]
        parts = [getattr(self, self.rng.choice(kinds))().data for _ in range(self.rng.randint(1, 5))]
        return Sent(b"".join([*parts, self.rng.choice(self.good)]))
