"""The gate in front of the application: host, token, size and time; and an answer without text when anything fails."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bertinchamps.console import tell
from bertinchamps.serving.figures import Figures
from bertinchamps.serving.messages import problem

OPEN = ("/", "/health", "/openapi.json")  # paths that need no token: they tell nothing of models and texts
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True)
class Rules:
    """Who may ask for what.

    Attributes:
        token: that requests must bring; None: they need none.
        loopback: requests must be addressed to this machine, so that no site that a browser visits can pose as it.
        body: bytes of a request.
        seconds: in which the body of a request must have come.
        paths: that there are, for the figures.
    """

    token: str | None
    loopback: bool
    body: int
    seconds: float
    paths: tuple[str, ...]


class Gate:
    """An application behind the rules.

    Args:
        application: what answers.
        rules: of the gate.
        figures: of answers and times.
    """

    def __init__(self, application: ASGIApp, rules: Rules, figures: Figures) -> None:
        self._application, self._rules, self._figures = application, rules, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began, answer, path = time.perf_counter(), _Answer(send), self._path(scope)
        self._figures.asked(path)
        try:
            await self._answer(scope, receive, answer)
        except Exception as error:
            tell(f"error in {path}: {type(error).__name__}")  # the message may hold text
            if not answer.status:
                await answer.refuse(500, f"the service failed ({type(error).__name__})")
        finally:
            self._figures.answered(path, answer.status, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if self._rules.loopback and _host(headers) not in LOOPBACK:
            await answer.refuse(421, "this service answers for localhost alone")
        elif not self._may_ask(scope["path"], headers):
            await answer.refuse(
                401, "a token is needed: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"}
            )
        else:
            body = await self._body(receive, headers, answer)
            if body is not None:
                await self._application(scope, _replayed(body, receive), answer)

    def _may_ask(self, path: str, headers: Mapping[str, str]) -> bool:
        if self._rules.token is None or path in OPEN:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), self._rules.token.encode())
        return same and scheme.lower() == "bearer"

    async def _body(self, receive: Receive, headers: Mapping[str, str], answer: _Answer) -> bytes | None:
        """The whole body; None where the request was refused, or its sender left."""
        most = self._rules.body
        told = headers.get("content-length", "0")
        if told.isdecimal() and int(told) > most:
            await answer.refuse(413, f"a request has at most {most:,} bytes")
            return None
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._rules.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        await answer.refuse(413, f"a request has at most {most:,} bytes")
                        return None
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            await answer.refuse(408, f"the request did not come within {self._rules.seconds:g} seconds")
            return None

    def _path(self, scope: Scope) -> str:
        """The path of a request for figures and logs, where anything else than our paths is text of strangers."""
        return str(scope["path"]) if scope["path"] in self._rules.paths else "other"


class _Answer:
    """Sends an answer with our headers, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name for name, _ in message.get("headers", [])}
            more = [
                (key.encode(), value.encode()) for key, value in HEADERS.items() if key.encode() not in given
            ]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await self._send(message)

    async def refuse(self, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
        """A problem as the whole answer; the connection is closed, for the body may not have been read."""
        body = json.dumps(problem(error)).encode()
        given = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            **(headers or {}),
        }
        start = [(name.encode(), value.encode()) for name, value in given.items()]
        await self({"type": "http.response.start", "status": status, "headers": start})
        await self({"type": "http.response.body", "body": body})


def _host(headers: Mapping[str, str]) -> str:
    """The host of a request without its port."""
    host = headers.get("host", "").lower()
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body in one message, then what comes."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
