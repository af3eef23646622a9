"""Trackers get numbers and settings, on this machine only."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.training.trackers import tracker_problems, trackers
from support import losses


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


class Locks:
    """A tracker whose database is locked from its third call on."""

    def __init__(self) -> None:
        self.calls = 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.calls += 1
        if self.calls > 2:
            raise sqlite3.OperationalError("database is locked")

    def close(self) -> None:
        raise sqlite3.OperationalError("database is locked")


@pytest.mark.parametrize("begins", [True, False])
def test_a_tracker_that_fails_is_told_of_once_and_ends_no_run(
    begins: bool,
    quick_run: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def build(*given: object, **more: object) -> Locks:
        del given, more
        if begins:
            return Locks()
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(trackers, "build", build)
    run = quick_run("budget.steps=4", "tracker=tensorboard")
    assert len(losses(run)) == 4
    assert (run / "summary.json").is_file()
    told = capsys.readouterr().err
    assert told.count("tracker=tensorboard: failed (OperationalError: database is locked); the run goes") == 1


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
    assert set(trackers.names()) == {"none", "tensorboard", "wandb", "mlflow"}


LOGGED = {1: {"train/loss": 2.5, "train/mfu": 0.25}, 2: {"train/loss": 2.0}, 4: {"held_out/loss": 1.5}}
EXPECTED = {"train/loss": [(1, 2.5), (2, 2.0)], "train/mfu": [(1, 0.25)], "held_out/loss": [(4, 1.5)]}


def of_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {
        name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]
    }


def of_wandb(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from wandb.proto.wandb_internal_pb2 import Record

    [file] = (folder / "wandb").glob("offline-run-*/*.wandb")
    found: dict[str, list[tuple[int, float]]] = {}
    for data in records_of(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        items = record.history.item
        values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
        for name, value in values.items():
            if not name.startswith("_"):
                found.setdefault(name, []).append((values["_step"], value))
    return found


def records_of(data: bytes) -> Iterator[bytes]:
    """The records of a log as LevelDB writes it: blocks of 32 KiB; checksum, length and type before each part."""
    place, whole = 7, b""  # behind the file's own header
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or its last part
            yield whole
            whole = b""


def of_mlflow(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder.parent / 'mlflow.db'}")
    run = (folder / "mlflow.txt").read_text(encoding="utf-8").strip()
    assert client.get_run(run).data.params["optim.learning_rate"] == "0.001"
    assert client.get_run(run).info.run_name == folder.name
    names = client.get_run(run).data.metrics
    return {
        name: [(each.step, each.value) for each in client.get_metric_history(run, name)] for name in names
    }


@pytest.mark.parametrize(
    ("name", "read"), [("tensorboard", of_tensorboard), ("wandb", of_wandb), ("mlflow", of_mlflow)]
)
def test_all_trackers_have_the_same_names_and_steps(
    name: str, read: Callable[[Path], Any], tmp_path: Path, no_network: None
) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed: pip install 'bertinchamps[{name}]'")
    folder = tmp_path / "run"
    folder.mkdir()
    tracker = trackers.build(name=name, run_dir=folder, settings={"optim": {"learning_rate": 0.001}})
    for step, metrics in LOGGED.items():
        tracker.log(step, metrics)
    tracker.close()
    until = time.monotonic() + 30
    while (found := read(folder)) != EXPECTED and time.monotonic() < until:
        time.sleep(0.1)  # the process of wandb writes its file after it has said that it is finished
    assert found == EXPECTED


def test_a_resumed_run_goes_on_in_its_run_of_mlflow(tmp_path: Path, no_network: None) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'bertinchamps[mlflow]'")
    settings = {"optim": {"learning_rate": 0.001}}
    for step in (1, 2):
        tracker = trackers.build(
            name="mlflow", run_dir=tmp_path, settings=settings, store=str(tmp_path / "own.db")
        )
        tracker.log(step, {"train/loss": 1.0 / step})
        tracker.close()
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'own.db'}")
    run = (tmp_path / "mlflow.txt").read_text(encoding="utf-8").strip()
    assert [each.step for each in client.get_metric_history(run, "train/loss")] == [1, 2]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert tracker_problems("mlflow", {}) == [
        "tracker=mlflow: mlflow is not installed; run: pip install 'bertinchamps[mlflow]'"
    ]
