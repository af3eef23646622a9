"""The socket of the service, and uvicorn on it until a signal ends it."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from bertinchamps.errors import UserError
from bertinchamps.schemas import ServeConfig, TokenConfig

SHORTEST_TOKEN = 16  # characters
GRACE = 10  # seconds for requests that are being answered when the service ends
MOST_CONNECTIONS = 512


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_of(config: TokenConfig) -> str | None:
    """The token that requests must bring; None where none is configured. It is never shown.

    Raises:
        UserError: the variable or the file is not there, or the token is too short.
    """
    if config.variable is not None and config.file is not None:
        raise UserError("token.variable and token.file: give one of them")
    if config.variable is not None:
        key, token = f"token.variable={config.variable}", os.environ.get(config.variable, "")
    elif config.file is not None:
        key = f"token.file={config.file}"
        try:
            token = Path(config.file).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{key}: cannot be read ({type(error).__name__})") from error
    else:
        return None
    token = token.strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or any(letter.isspace() for letter in token):
        raise UserError(
            f"{key}: no token of at least {SHORTEST_TOKEN} plain characters in it; make one with "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def bound(host: str, port: int) -> socket.socket:
    """A socket of an address, which does not listen yet.

    Raises:
        UserError: the address is not one of this machine, or is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol's number: without it asyncio leaves Nagle's algorithm on, and each answer waits 40 ms
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise UserError(
            f"host={host} port={port}: cannot be opened ({error.strerror}); choose another"
        ) from error
    return opened


def address_of(opened: socket.socket) -> str:
    """Where a browser finds the service."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Ends at the first signal, once requests have their answers; at the second one at once."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def run(application: Any, opened: socket.socket) -> None:
    """Answer requests until SIGTERM or Ctrl-C."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=30,
    )
    _Server(config).run(sockets=[opened])


def problems(config: ServeConfig) -> list[str]:
    """What is wrong with address and token."""
    found = []
    try:
        token = token_of(config.token)
    except UserError as error:
        return [str(error)]
    if config.host != "localhost":
        try:
            ipaddress.ip_address(config.host)
        except ValueError:
            found.append(
                f"host={config.host}: must be an address of this machine, such as 127.0.0.1 or 0.0.0.0"
            )
    if not found and token is None and not is_loopback(config.host):
        found.append(
            f"host={config.host}: other machines reach it, so requests need a token: give token.variable=NAME of an "
            "environment variable, or token.file=FILE; and put TLS in front of it"
        )
    return found
