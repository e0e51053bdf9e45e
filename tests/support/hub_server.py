"""The part of the Hugging Face hub that a download needs, on 127.0.0.1: sizes, digests, bytes and ranges of files.

What it announces and what it sends can be made to differ.
"""

import hashlib
import io
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

ADDRESS = re.compile("/datasets/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[0-9a-f]{40})/(?P<file>.+)")


class HubServer:
    """A local server of the files of datasets; what else huggingface_hub asks is answered with 404.

    files: {(repository, revision, file): bytes}. requests: "METHOD file" of each request for a file of a dataset, with
    the range if one was asked for. sent: {file: bytes to send in the place of those announced}. statuses: {method:
    status to answer with}. cuts: bytes after which to close the connection, one number for each of the next GETs.
    hold: seconds before each answer. is_hub: whether it names commits, as a hub does and other servers do not.
    """

    def __init__(self):
        self.files, self.requests, self.sent, self.statuses, self.cuts, self.hold = {}, [], {}, {}, [], 0.0
        self.is_hub, self.closed = True, threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.closed.set()
        self.http.shutdown()
        self.http.server_close()

    def publish(self, corpus, **splits):
        """Serve parquet files of a HubCorpus.

        splits: for "train" and "test" a {column: values}, or a list of them, one for each file.
        """
        for split, tables in splits.items():
            files = getattr(corpus, f"{split}_files")
            tables = [tables] if isinstance(tables, dict) else tables
            assert len(files) == len(tables)
            for file, table in zip(files, tables):
                self.files[corpus.repository, corpus.revision, file] = parquet(table)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        asked = ADDRESS.fullmatch(unquote(self.path))
        if asked is None:
            self.refuse(404)
            return
        span = self.headers.get("Range", "")
        self.hub.requests.append(f"{self.command} {asked['file']} {span}".rstrip())
        self.hub.closed.wait(self.hub.hold)
        content = self.hub.files.get(tuple(asked.groups()))
        status = self.hub.statuses.get(self.command, 404 if content is None else None)
        if status is not None:
            self.refuse(status)
            return
        sent = self.hub.sent.get(asked["file"], content) if body else content
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span else 0
        self.send_response(206 if span else 200)
        if span:
            self.send_header("Content-Range", f"bytes {start}-{len(sent) - 1}/{len(sent)}")
        self.send_header("Content-Length", str(len(sent) - start))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        if self.hub.is_hub:
            self.send_header("X-Repo-Commit", asked["revision"])
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if body:
            cut = self.hub.cuts.pop(0) if self.hub.cuts else None
            self.wfile.write(sent[start:][:cut])
            self.close_connection = self.close_connection or cut is not None

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def parquet(columns):
    """The bytes of a parquet file of {column: values}."""
    pa = pytest.importorskip("pyarrow", reason="parquet files need pyarrow (extra hub)")
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A HubServer that huggingface_hub takes for the hub, and an empty folder as its cache: tmp_path / "hub-cache"."""
    pytest.importorskip("pyarrow", reason="parquet files need pyarrow (extra hub)")
    from huggingface_hub import constants

    server = HubServer()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield server
    server.close()
