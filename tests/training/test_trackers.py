"""Trackers get numbers and settings, on this machine only."""

from __future__ import annotations

import socket
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


def test_mistakes_are_named() -> None:
    assert tracker_problems("wandb", {"mode": "onlin"}) == [
        "tracker.mode=onlin: one of offline, online, disabled"
    ]
    assert set(trackers.names()) == {"none", "tensorboard", "wandb"}
