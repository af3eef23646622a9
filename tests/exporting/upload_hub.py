"""A hub on the loopback interface that takes one model: what `publish` asks for, and no more."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Keeps what it is sent.

    Args:
        token: of the one who may write.
        repositories: name → whether it is private, of those that are there.
        failing: status of every answer to a commit; None: it is taken.
    """

    daemon_threads = True

    def __init__(self, token: str, repositories: dict[str, bool], failing: int | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.token, self.repositories, self.failing = token, repositories, failing
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}  # by sha256
        self.requests: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def do_PUT(self) -> None:
        self.do_POST()

    def _answer(self, body: bytes) -> None:
        hub, path = self.server, self.path.partition("?")[0]
        hub.requests.append(f"{self.command} {path}")
        if path.startswith("/large/"):  # signed by its address
            hub.large[path.rpartition("/")[2]] = body
            self._send({})
        elif self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._send({"error": "Invalid credentials"}, 401)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._send({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            modes = {True: "lfs", False: "regular"}
            files = [file["path"] for file in json.loads(body)["files"]]
            self._send(
                {
                    "files": [
                        {
                            "path": each,
                            "uploadMode": modes[each.endswith(".safetensors")],
                            "shouldIgnore": False,
                        }
                        for each in files
                    ]
                }
            )
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            self._send(
                {
                    "transfer": "basic",
                    "objects": [
                        {**each, "actions": {"upload": {"href": f"{hub.endpoint}/large/{each['oid']}"}}}
                        for each in objects
                    ],
                }
            )
        elif path.endswith("/commit/main"):
            self._commit(body)
        elif (name := path.removeprefix("/api/models/")) in hub.repositories:
            self._send({"id": name, "private": hub.repositories[name], "siblings": [], "tags": []})
        else:
            self._send({"error": "not found"}, 404)

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if name in self.server.repositories:
            self._send(
                {"error": "You already created this model repo", "url": f"{self.server.endpoint}/{name}"}, 409
            )
            return
        self.server.repositories[name] = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self._send({"url": f"{self.server.endpoint}/{name}", "name": name})

    def _commit(self, body: bytes) -> None:
        if self.server.failing is not None:
            self._send({"error": "no"}, self.server.failing)
            return
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.large[value["oid"]]
        repository = self.path.removeprefix("/api/models/").partition("/commit/")[0]
        place = f"{self.server.endpoint}/{repository}/commit/{COMMIT}"
        self._send({"success": True, "commitOid": COMMIT, "commitUrl": place})

    def _send(self, answer: object, status: int = 200) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(
    token: str, repositories: dict[str, bool] | None = None, failing: int | None = None
) -> Iterator[Hub]:
    """Runs a hub in a thread."""
    hub = Hub(token, dict(repositories or {}), failing)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
