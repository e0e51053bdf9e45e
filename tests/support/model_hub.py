"""The part of the Hugging Face hub that pushing and pulling a model needs, on 127.0.0.1, as huggingface_hub asks it."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

API = re.compile(
    "/api/models/(?P<repository>[^/]+/[^/]+)/(?P<what>preupload|commit|revision|tree)/(?P<revision>[^/?]+)"
)
FILE = re.compile("/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class ModelHub:
    """A local server of repositories of models.

    files: {repository: {name: bytes}}; private: {repository: bool}; status: to answer everything with.
    """

    def __init__(self):
        self.files, self.private, self.status = {}, {}, None
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.hub.files.setdefault(name, {})
            self.hub.private[name] = bool(asked.get("private") or asked.get("visibility") == "private")
            self.send({"url": f"{self.hub.url}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self.send({"errors": [], "warnings": []})
        elif (found := API.fullmatch(path)) and found["what"] == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            self.send({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        elif found and found["what"] == "commit":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.hub.files[found["repository"]][line["value"]["path"]] = content
            url = f"{self.hub.url}/{found['repository']}/commit/{COMMIT}"
            self.send({"commitUrl": url, "commitOid": COMMIT})
        else:
            self.send({"error": "not found"}, 404)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        api, file = API.fullmatch(path), FILE.fullmatch(path)
        files = self.hub.files.get((api or file)["repository"]) if api or file else None
        if files is None:
            self.send({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif api and api["what"] == "revision":
            names = [{"rfilename": name} for name in files]
            self.send({"id": api["repository"], "sha": COMMIT, "siblings": names, "tags": []})
        elif api and api["what"] == "tree":
            rows = [{"type": "file", "path": n, "size": len(c), "oid": digest(c)} for n, c in files.items()]
            self.send(rows)
        elif file and file["file"] in files:
            content = files[file["file"]]
            self.send(content, 200, {"ETag": f'"{digest(content)}"', "X-Repo-Commit": COMMIT})
        else:
            self.send({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})

    def send(self, value, status=200, headers=None):
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(self.hub.status or status)
        for name, text in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def model_hub(tmp_path, monkeypatch):
    """A ModelHub that huggingface_hub takes for the hub, with a token that it accepts."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install -e '.[hub]'")
    from huggingface_hub import constants

    hub = ModelHub()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
    yield hub
    hub.close()


def digest(content):
    """What git calls a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
