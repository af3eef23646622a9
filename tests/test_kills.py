"""scripts/kills.py kills, goes on, compares, and says what differs."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support import ROOT


@pytest.fixture(scope="module")
def kills() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kills", ROOT / "scripts" / "kills.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["kills"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_preparation_that_is_killed_goes_on_to_the_same_bytes(
    kills: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["kills", "--kills", "3", "--scenarios", "preparation", "--folder", str(tmp_path), "--seed", "1"]
    monkeypatch.setattr(sys, "argv", words)
    assert kills.main() == 0
    tally = json.loads((tmp_path / "kills.json").read_text(encoding="utf-8"))["preparation"]
    assert tally["kills"] == 3
    assert tally["outcome"].startswith(
        "equal: 5 results"
    )  # two files of blocks, their checksums, a tokenizer
    assert "preparation: 3 kills" in capsys.readouterr().out


def scenario_of(kills: ModuleType, monkeypatch: pytest.MonkeyPatch, code: str) -> Any:
    """A scenario whose command is a line of Python that leaves a.txt."""
    monkeypatch.setattr(kills, "PYTHON", (sys.executable,))
    return kills.Scenario(("-c", code), lambda place: kills.digests(place, "a.txt"))


def test_another_result_is_told(kills: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import time; time.sleep(0.3); open('a.txt', 'w').write(str(time.time()))"
    scenario = scenario_of(kills, monkeypatch, code)
    whole = kills.undisturbed(scenario, tmp_path / "whole", "")
    with pytest.raises(kills.Failed, match=r"another result than undisturbed: a\.txt"):
        list(kills.killed(scenario, tmp_path / "killed", "", whole, 1, random.Random(0)))


def test_a_command_that_does_not_go_on_is_told(
    kills: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # after a kill its own leftover stands in the way
    code = "import time; open('lock', 'x'); time.sleep(1); open('a.txt', 'w').write('1')"
    scenario = scenario_of(kills, monkeypatch, code)
    whole = kills.undisturbed(scenario, tmp_path / "whole", "")
    with pytest.raises(kills.Failed, match=r"exit status 1(.|\n)*FileExistsError"):
        list(kills.killed(scenario, tmp_path / "killed", "", whole, 3, random.Random(0)))


def test_nothing_survives_a_kill(kills: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kills, "PYTHON", (sys.executable,))
    child = "import time; time.sleep(60)"
    code = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], start_new_session=True)"
    )
    process = kills.start(("-c", code), tmp_path)
    parent = kills.psutil.Process(process.pid)
    while not (children := parent.children(recursive=True)):
        pass
    kills.kill(process)
    assert not any(one.is_running() for one in children)


def test_a_kill_behind_the_whole_output_leaves_nothing_to_go_on_with(
    kills: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as `predict`, it refuses an output that is there
    code = "import time; open('a.txt', 'x').write('1'); time.sleep(1)"
    scenario = replace(scenario_of(kills, monkeypatch, code), output="a.txt")
    whole = kills.undisturbed(scenario, tmp_path / "whole", "")
    assert len(list(kills.killed(scenario, tmp_path / "killed", "", whole, 3, random.Random(0)))) == 3
