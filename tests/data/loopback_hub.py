"""A Hub of one dataset repository on the loopback interface: what `datasets` asks for, and no more.

It listens at the address that all commands of tests have for the Hub, so that they are forks of one process, which has
imported the libraries that fix this address when they are imported.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from support import HF_HOME, HUB_PORT

REPOSITORY = "oscar-corpus/OSCAR-2301"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
STALL = 4.0  # seconds
PIECE = 50_000  # bytes
API = f"/api/datasets/{REPOSITORY}"


class Hub(ThreadingHTTPServer):
    """Serves files from memory, or refuses everybody.

    Args:
        files: path in the repository → content.
        refusal: HTTP status and X-Error-Code of every answer, if nobody may read.
        broken: how many answers with content end in the middle, the connection closed, before all goes well.
        stalling: how many answers with content stop in the middle for STALL seconds.
        trickling: all content comes in small pieces with pauses between them.
    """

    daemon_threads = True

    def __init__(
        self,
        files: Mapping[str, bytes],
        refusal: tuple[int, str] | None = None,
        broken: int = 0,
        stalling: int = 0,
        trickling: bool = False,
    ) -> None:
        super().__init__(("127.0.0.1", HUB_PORT), Handler)
        self.files, self.refusal, self.broken = files, refusal, broken
        self.stalling, self.trickling = stalling, trickling
        self.requests: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        if self.server.refusal:
            status, code = self.server.refusal
            self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": "refused"})
        elif path in (API, f"{API}/revision/{COMMIT}"):
            self._json({"id": REPOSITORY, "sha": COMMIT, "siblings": [], "tags": [], "private": False})
        elif path == f"{API}/auth-check":
            self._json({})
        elif path.startswith(f"{API}/tree/{COMMIT}") and (
            entries := self._entries(path.removeprefix(f"{API}/tree/{COMMIT}").lstrip("/"))
        ):
            self._json(entries)
        elif (file := path.removeprefix(f"/datasets/{REPOSITORY}/resolve/{COMMIT}/")) in self.server.files:
            self._content(self.server.files[file])
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _entries(self, folder: str) -> list[dict[str, object]]:
        """The files and folders right in a folder."""
        start = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, object]] = {}
        for path, content in self.server.files.items():
            if path.startswith(start):
                child = start + path.removeprefix(start).split("/")[0]
                kind, size = ("file", len(content)) if child == path else ("directory", 0)
                entries[child] = {"type": kind, "path": child, "size": size, "oid": "f" * 40}
        return list(entries.values())

    def _content(self, content: bytes) -> None:
        headers = {"X-Repo-Commit": COMMIT, "ETag": '"e"', "Accept-Ranges": "bytes"}
        status, wanted = 200, self.headers.get("Range")
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            headers["Content-Range"] = f"bytes {first}-{last or len(content) - 1}/{len(content)}"
            status, content = 206, content[int(first) : int(last) + 1 if last else None]
        whole = self.command != "GET" or len(content) < 2
        if self.server.broken and not whole:
            self.server.broken -= 1
            self._send(status, content, headers, sent=len(content) // 2)
            self.close_connection = True
        elif self.server.stalling and not whole:
            self.server.stalling -= 1
            self._send(status, content, headers, sent=len(content) // 2)
            time.sleep(STALL)
            self.close_connection = True
        elif self.server.trickling and not whole:
            self._send(status, content, headers, sent=0)
            for start in range(0, len(content), PIECE):
                self.wfile.write(content[start : start + PIECE])
                time.sleep(0.02)
        else:
            self._send(status, content, headers)

    def _json(self, answer: object) -> None:
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])


@contextmanager
def serving(files: Mapping[str, bytes], **behaviour: Any) -> Iterator[Hub]:
    """Runs a hub in a thread; nothing has been downloaded yet."""
    for kept in Path(HF_HOME.name).iterdir():
        shutil.rmtree(kept)
    hub = Hub(files, **behaviour)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
