"""What strace sees of the connections of a command and of all programs that it starts, whether Python or not."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

CALLS = "connect,sendto,sendmsg,sendmmsg"
# A line of strace, such as: 12<wandb-core> connect(7, {sa_family=AF_INET, sin_port=htons(443), …
LINE = re.compile(r"\d+<(.*?)> +\w+\(.*?\bsa_family=AF_(\w+)")
LOOPBACK = re.compile(r'"127\.[\d.]+"|"::1"|"::ffff:127\.[\d.]+"')


@dataclass
class Connections:
    """Connections and packets to addresses.

    Attributes:
        elsewhere: lines of strace with an address that is not this machine.
        allowed: program and kind, `loopback` or `socket of the file system` → how many.
    """

    elsewhere: list[str] = field(default_factory=list)
    allowed: Counter[str] = field(default_factory=Counter)


def tracing(log: str) -> list[str]:
    """The words before a command that let strace write its connections to the end of a file.

    Strings are cut to nothing, so that no text of what is sent gets into the file; addresses stay.
    """
    what = ["-e", f"trace={CALLS}", "-e", "signal=none"]
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-Y", "-s", "0", *what, "-A", "-o", log]


def missing() -> str | None:
    """Why nothing can be traced here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed; on Debian: apt-get install strace"
    tried = subprocess.run([*tracing("/dev/null"), "true"], capture_output=True, text=True, check=False)
    return f"strace cannot trace here: {tried.stderr.strip()}" if tried.returncode else None


def connections(lines: Iterable[str]) -> Connections:
    """What the lines of strace say; sockets of the kernel (netlink) are no connections."""
    found = Connections()
    for line in lines:
        if not (match := LINE.match(line)):
            continue
        program, family = match.groups()
        if family in ("UNIX", "LOCAL"):
            found.allowed[f"{program}, socket of the file system"] += 1
        elif family not in ("INET", "INET6"):
            continue
        elif LOOPBACK.search(line):
            found.allowed[f"{program}, loopback"] += 1
        else:
            found.elsewhere.append(line)
    return found
