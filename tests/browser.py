"""A headless browser for tests of pages; without one they skip."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=10000",
)  # fmt: skip

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no headless browser: apt-get install chromium")


class Shown(NamedTuple):
    """What a browser made of a page: its document, what it asked the server for, and messages of its console."""

    document: str
    requests: list[str]
    console: list[str]


def shown(page: Path, *options: str) -> Shown:
    """Open a page, from a server on this machine that counts what is asked for."""
    assert BROWSER is not None
    asked: list[str] = []

    class Server(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *given: Any) -> None:
            asked.append(self.path)

    handler = partial(Server, directory=str(page.parent))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory() as own,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = [BROWSER, *OPTIONS, f"--user-data-dir={own}", *options, "--dump-dom"]
        address = f"http://127.0.0.1:{server.server_port}/{page.name}"
        result = subprocess.run([*words, address], capture_output=True, text=True, timeout=60, check=True)
        server.shutdown()
    console = re.findall(r":CONSOLE[:(][^\n]*", result.stderr)
    return Shown(result.stdout, asked, console)
