"""What a killed process leaves of documents is removed by the next one, and what a living one uses is not."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bertinchamps.data.temporary import leftovers, temporary_folder
from bertinchamps.errors import UserError

DIES = """
import os, signal
from bertinchamps.data.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "train.jsonl").write_text("Zwart tousse")
    print(folder, flush=True)
    os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "temporary"


def killed(number: str) -> Path:
    """The folder of a process that this signal ended."""
    done = subprocess.run(
        [sys.executable, "-c", DIES], env={**os.environ, "SIGNAL": number}, capture_output=True, text=True
    )
    assert done.returncode == -getattr(signal, number)
    return Path(done.stdout.strip())


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_the_next_one_removes_what_a_killed_process_left(place: Path, number: str) -> None:
    left = killed(number)
    assert left.parent == place
    assert leftovers() == [left]
    with temporary_folder() as folder:
        assert list(place.iterdir()) == [folder]
        for each in (folder, place, place.parent):
            assert not stat.S_IMODE(each.stat().st_mode) & 0o077
    assert list(place.iterdir()) == []


def test_what_is_used_stays(place: Path) -> None:
    with temporary_folder() as first, temporary_folder() as second:
        assert leftovers() == []
        assert {first, second} == set(place.iterdir())


def test_a_place_that_cannot_be_written_is_told(place: Path) -> None:
    place.parent.parent.mkdir(exist_ok=True)
    place.parent.write_text("a file", encoding="utf-8")
    with pytest.raises(UserError, match="BERTINCHAMPS_CACHE names another"), temporary_folder():
        pass
