"""Runs a command of Python that may not ask for a name or connect, and notes each attempt.

    CONNECTIONS=attempts.txt python scripts/no_network.py bertinchamps.pretrain data=demo arch=tiny budget.steps=2

An audit hook sees each call of Python's socket module, whatever library makes it, before it happens. It writes a line
into the file that CONNECTIONS names, and refuses the call, so that nothing leaves and nothing is swallowed in silence.
CONNECTIONS_LOOPBACK=1 allows 127.0.0.1, ::1 and localhost. Sockets of the file system are no network and are allowed.

Python processes that the command starts are watched, too: a folder with a sitecustomize.py is put before their
PYTHONPATH. Programs that are no Python are not seen: `canaries.py --strace` sees theirs.
"""

from __future__ import annotations

import ipaddress
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

FILE, LOOPBACK = "CONNECTIONS", "CONNECTIONS_LOOPBACK"
# Events of the socket module (https://docs.python.org/3/library/audit_events.html), and where the address stands.
ASKING = {
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
}
FRAMES = 6  # of the calls that led to an attempt


class Refused(ConnectionRefusedError):
    """A call that was noted and not made."""


def is_loopback(host: object) -> bool:
    """Whether a host is this machine."""
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    if name in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def watch() -> None:
    """Refuse and note connections of this process from now on."""
    file, allowed = os.environ[FILE], os.environ.get(LOOPBACK) == "1"

    def hook(event: str, given: tuple[Any, ...]) -> None:
        place = ASKING.get(event)
        if place is None:
            return
        address = given[place]
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            if not isinstance(
                address, tuple
            ):  # a socket of the file system, or one that is connected already
                return
            address = address[0]
        if allowed and (address is None or is_loopback(address)):
            return
        frames = [
            f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_stack()[:-1][-FRAMES:]
        ]
        line = f"{event} {address!r} in {' '.join(sys.argv[:2])}: {' < '.join(reversed(frames))}\n"
        with open(file, "a", encoding="utf-8") as stream:  # noqa: PTH123 (pathlib may not be there any more)
            stream.write(line)
        raise Refused(f"{event}: the network is forbidden here")

    sys.addaudithook(hook)


def watch_children(folder: Path) -> None:
    """Let every Python that this process starts watch itself.

    Args:
        folder: for a file sitecustomize.py, which Python imports when it starts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    code = f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\nimport no_network\nno_network.watch()\n"
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)


def run(folder: Path | None = None) -> None:
    """Run the module that the second word of the command line names, with the words behind it."""
    file = Path(os.environ[FILE]).absolute()
    os.environ[FILE] = str(file)
    tempfile.tempdir = None  # a fork of a process that has looked for it looks again
    watch_children(folder or file.with_name("watching"))
    watch()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.path[0] = ""  # modules are found where they are for `python -m`
    run()
