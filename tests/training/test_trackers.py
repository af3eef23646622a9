"""Trackers get numbers and settings, on this machine only."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bertinchamps.training.trackers import tracker_problems, trackers


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and str(address[0]) != "127.0.0.1":  # type: ignore[index]
            raise AssertionError(f"tried to reach {address}")
        return connect(self, address)  # type: ignore[arg-type]

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_tensorboard_writes_event_files(quick_run: Callable[..., Path]) -> None:
    run = quick_run("budget.steps=2", "tracker=tensorboard")
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))


def test_wandb_stays_offline(quick_run: Callable[..., Path], no_network: None) -> None:
    run = quick_run("budget.steps=2", "tracker=wandb")
    assert list((run / "wandb").glob("offline-run-*"))


TRACKED = """
from pathlib import Path
import sys
from bertinchamps.training.trackers import trackers
tracker = trackers.build(name="wandb", run_dir=Path(sys.argv[1]), settings={"a": 1})
tracker.log(1, {"loss": 1.0})
tracker.close()
"""


def test_no_process_of_wandb_talks_to_its_server(tmp_path: Path) -> None:
    """Where the environment says nothing: a run's `mode="offline"` alone leaves the telemetry of the process online."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    heard.append(connection.recv(100))
                    connection.close()

        threading.Thread(target=listen, daemon=True).start()
        settings = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        settings |= {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40, "no_proxy": ""}
        settings |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), address)
        subprocess.run([sys.executable, "-c", TRACKED, str(tmp_path)], env=settings, check=True)
        server.shutdown(socket.SHUT_RDWR)
    assert heard == []
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_mistakes_are_named() -> None:
    assert tracker_problems("wandb", {"mode": "onlin"}) == [
        "tracker.mode=onlin: one of offline, online, disabled"
    ]
    assert set(trackers.names()) == {"none", "tensorboard", "wandb"}
