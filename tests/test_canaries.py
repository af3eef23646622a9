"""No command leaks a word of a document, a connection or a file that others can read; and what leaks is found."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from bertinchamps.schemas import COMMANDS
from support import NO_HUB, ROOT
from warm import process_for

EVIL = """
import os, socket, sys
from pathlib import Path
text = Path("new.jsonl").read_text()
print(text.split()[6])
Path("log.txt").write_text(text.upper())
os.chmod("log.txt", 0o644)
for ask in (lambda: socket.create_connection(("example.org", 80)), lambda: socket.socket().connect(("192.0.2.1", 1))):
    try:
        ask()
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def canaries() -> ModuleType:
    sys.path.insert(0, str(ROOT / "scripts"))
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    return importlib.import_module("canaries")


def warm(words: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> object:
    """Start a command as a fork of a process that has imported what it needs."""
    own_hub = "HF_ENDPOINT" in environment
    given = {**environment, **({} if own_hub else NO_HUB)}
    return process_for(given, "libraries" if own_hub else "rooms").start(words, cwd, given)


@pytest.fixture
def shared_umask() -> object:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.long
@pytest.mark.usefixtures("shared_umask")
def test_no_command_leaks(canaries: ModuleType, tmp_path: Path) -> None:
    with canaries.ready(tmp_path / "all", warm, False, 1) as watch:
        leaks, chosen = canaries.Leaks(), list(canaries.faults())[::4]
        canaries.all_commands(watch)
        canaries.refused(watch, chosen)
        canaries.search(watch, leaks)
        canaries.purge(watch)
        tally = canaries.told(watch, leaks, len(chosen))
    assert tally["failed"] == []
    assert tally["connections and look-ups"] == []
    assert tally["canaries elsewhere"] == {}
    assert tally["readable by others"] == []
    assert tally["canaries in predictions, where they belong"] > 100
    assert {name.partition(" ")[0] for name in watch.told} >= set(COMMANDS)


def test_what_leaks_is_found(canaries: ModuleType, tmp_path: Path) -> None:
    with canaries.ready(tmp_path / "bad", canaries.begin, False, 2) as watch:
        (watch.work / "evil.py").write_text(EVIL, encoding="utf-8")
        watch.run("evil", ["evil"])
        leaks = canaries.Leaks()
        canaries.search(watch, leaks)
        tally = canaries.told(watch, leaks, 0)
    assert tally["failed"] == []
    assert "cores: " in tally["machine"]
    assert len(tally["connections and look-ups"]) == 2
    assert "example.org" in tally["connections and look-ups"][0]
    assert set(tally["canaries elsewhere"]) == {"printed by evil", "work/log.txt"}
    assert tally["canaries elsewhere"]["work/log.txt"] == ["new: cell", "new: id", "new: text"]
    assert {"work/evil.py", "work/log.txt"} <= set(tally["readable by others"])


TRACED = """
10<python> connect(3, {sa_family=AF_UNIX, sun_path="/tmp/10.1.1.1"}, 110) = 0
11<wandb-core> connect(7, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16 <unfinished ...>
11<wandb-core> <... connect resumed>)    = -1 ENETUNREACH (Network is unreachable)
10<python> connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
10<a b> connect(3, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), \
inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 0
12<sh> sendto(4, ""..., 4, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.1")}, 16) = 4
12<sh> sendto(4, [{nlmsg_len=20}], 20, 0, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 20
12<sh> sendto(4, ""..., 4, MSG_NOSIGNAL, NULL, 0) = 4
"""


def test_what_strace_says_is_told_by_program(canaries: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = importlib.import_module("canary_traces")
    found = traces.connections(TRACED.splitlines())
    assert found.elsewhere == [
        line for line in TRACED.splitlines() if "192.0.2.1" in line or "10.0.0.1" in line
    ]
    assert found.allowed == {
        "python, socket of the file system": 1,
        "python, loopback": 1,
        "a b, loopback": 1,
    }
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", ["canaries.py", "--strace"])
    with pytest.raises(SystemExit) as ended:
        canaries.main()
    assert ended.value.code == 2
    assert "strace is not installed" in traces.missing()


def test_strace_sees_programs_that_are_no_python(canaries: ModuleType, tmp_path: Path) -> None:
    if why := importlib.import_module("canary_traces").missing():
        pytest.skip(why)
    with canaries.ready(tmp_path / "bad", canaries.begin, True, 3) as watch:
        # a datagram socket is connected without a packet
        code = "import subprocess\nsubprocess.run(['bash', '-c', 'exec 3<>/dev/udp/192.0.2.1/9'])\n"
        (watch.work / "asks.py").write_text(code, encoding="utf-8")
        watch.run("asks", ["asks"])
        (told,) = watch.attempts()
    assert "<bash> connect(" in told
    assert "192.0.2.1" in told


def test_loopback_alone_is_allowed_where_it_is_asked_for_and_children_are_watched(
    tmp_path: Path,
) -> None:
    code = (
        "import socket, subprocess, sys\nsocket.getaddrinfo('127.0.0.1', 80)\n"
        "subprocess.run([sys.executable, '-c', 'import socket; socket.gethostbyname(\"child.example\")'])\n"
    )
    (tmp_path / "asks.py").write_text(code, encoding="utf-8")
    script = str(ROOT / "scripts" / "no_network.py")
    given = {**os.environ, "CONNECTIONS": str(tmp_path / "attempts.txt")}
    for allowed, ended in (("1", 0), ("0", 1)):
        own = {**given, "CONNECTIONS_LOOPBACK": allowed}
        done = subprocess.run([sys.executable, script, "asks"], cwd=tmp_path, env=own, capture_output=True)
        assert done.returncode == ended, done.stderr
    attempts = (tmp_path / "attempts.txt").read_text(encoding="utf-8").splitlines()
    assert ["child.example" in line for line in attempts] == [True, False]
