"""scripts/fuzz.py finds what is no message for the user, goes on where it was, and finds nothing in our readers."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bertinchamps import manifests
from bertinchamps.checks.finetuning import problems
from bertinchamps.command_line.mistakes import mistakes
from bertinchamps.errors import UserError
from bertinchamps.model.encoders import open_config
from bertinchamps.reporting.study_grid import read_plan
from bertinchamps.textfiles.texts import texts_of
from support import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

SLOW = ("command_line", "own_yaml", "model", "runs")  # a reading takes a tenth of a second


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    return importlib.import_module("fuzz")


def readers() -> list[str]:
    return [name for name in importlib.import_module("fuzz_targets").TARGETS if name not in SLOW]


@pytest.mark.parametrize("name", readers())
def test_broken_files_are_read_or_refused(fuzz: ModuleType, tmp_path: Path, name: str) -> None:
    fuzzer = fuzz.Fuzzer(fuzz.TARGETS[name], tmp_path, hang=20, seed=3)
    fuzzer.run(seconds=60, executions=60)
    assert fuzzer.state.findings == {}
    assert fuzzer.state.executions == 60
    assert 0 < fuzzer.state.refused < 60


def bad_target(fuzz: ModuleType, read: Any) -> Any:
    return fuzz.Target("bad", lambda: [{"a.txt": b"good"}], read, (UserError,))


def test_whatever_is_no_message_is_found_with_its_file(fuzz: ModuleType, tmp_path: Path) -> None:
    def fails(place: Path) -> None:
        if (place / "a.txt").read_bytes() != b"good":
            raise KeyError("x")

    def hangs(place: Path) -> None:
        while (place / "a.txt").read_bytes() != b"good":
            time.sleep(0.01)

    def tells(place: Path) -> None:
        raise UserError(f"line 1: {fuzz.MARK.upper()}")

    for read, what in (
        (fails, "KeyError"),
        (hangs, "hang of 0.05 s"),
        (tells, "a message tells a word of a text"),
    ):
        fuzzer = fuzz.Fuzzer(bad_target(fuzz, read), tmp_path / what, hang=0.05)
        fuzzer.run(seconds=60, executions=5)
        (found,) = fuzzer.state.findings
        assert found.startswith(what)
        (kept,) = (tmp_path / what / "findings").iterdir()
        assert {file.name for file in kept.iterdir()} == {"a.txt", "TRACEBACK.txt"}


def test_counts_and_changes_go_on(fuzz: ModuleType, tmp_path: Path) -> None:
    def seen(runs: int) -> list[bytes]:
        contents: list[bytes] = []
        target = bad_target(fuzz, lambda place: contents.append((place / "a.txt").read_bytes()))
        folder = tmp_path / str(runs)
        for _ in range(runs):
            fuzz.Fuzzer(target, folder, hang=5).run(seconds=60, executions=12 // runs)
        assert json.loads((folder / "state.json").read_text())["executions"] == 12
        return contents

    whole = seen(1)
    assert whole[0] == b"good"
    assert len(set(whole)) > 6
    assert seen(2) == whole


def test_a_reader_has_a_process_of_its_own_and_a_line_of_the_table(tmp_path: Path) -> None:
    words = [
        sys.executable,
        str(ROOT / "scripts" / "fuzz.py"),
        "--seconds",
        "0.5",
        "--readers",
        "brat",
        "--folder",
        "f",
    ]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split()[0] == "all"
    tally = json.loads((tmp_path / "f" / "fuzz.json").read_text())
    assert tally["brat"]["executions"] > 1
    assert tally["machine"] in done.stdout
    assert re.search(r"^\d{4}-\d\d-\d\d; .+, cores: \d+; Python 3\..+, torch \d", tally["machine"])


def test_atheris_keeps_what_reached_new_code(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    script = str(ROOT / "scripts" / "fuzz.py")
    words = ["--engine", "atheris", "--seconds", "4", "--readers", "templates", "--folder", "f"]
    done = subprocess.run(
        [sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    state = json.loads((tmp_path / "f" / "templates" / "state.json").read_text())
    assert 0 < state["refused"] < state["executions"]
    assert state["findings"] == {}
    assert len(list((tmp_path / "f" / "templates" / "corpus").iterdir())) > 1  # one good file to begin with


def test_files_become_one_input_of_atheris_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("atheris")
    coverage = importlib.import_module("fuzz_coverage")
    # libFuzzer's own changes end a process that it does not run.
    monkeypatch.setattr(coverage, "libfuzzers_own", lambda content, dice, donor: content + b"!")
    files = {"a/b.txt": b"x\0y", "c": b""}
    assert coverage.parted(coverage.joined(files)) == files
    assert coverage.parted(coverage.joined(files)[:-1]) == {}
    assert coverage.parted(b"") == {}
    inputs = [files, {"a/b.txt": b"other", "c": b"1"}]
    for seed in range(50):
        assert (
            coverage.parted(coverage.mutator(inputs)(coverage.joined(files), 1 << 20, seed)).keys()
            == files.keys()
        )
    assert coverage.mutator(inputs)(coverage.joined(files), 5, 1) == coverage.joined(files)


def test_manifests_with_names_that_no_disk_has_are_damaged(tmp_path: Path) -> None:
    for name in ("x" * 5000, "a/" * 5000):
        (tmp_path / "manifest.json").write_text(
            json.dumps({name: {"bytes": 1, "blake2b": "a"}}), encoding="utf-8"
        )
        (told,) = manifests.problems(tmp_path)
        assert "is damaged" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"task: [", "own.yaml, line 1: not yaml"),
        (b"\x87", "can't decode byte"),
        (b"defaults: {a: 1}\ntask: {name: ner}\n", "defaults must be a list"),
        (b"[" * 2000, "nested too deeply"),
    ],
)
def test_a_yaml_file_that_is_none_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "own.yaml").write_bytes(content)
    with pytest.raises(UserError) as raised:
        mistakes("finetune", ["task=own", "model=scratch"], problems, tmp_path)
    assert told in str(raised.value)


def test_a_plan_and_a_text_that_nobody_can_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("[" * 2000, encoding="utf-8")
    with pytest.raises(UserError, match="nested too deeply"):
        read_plan(tmp_path / "a.yaml")
    (tmp_path / "a.jsonl").write_text('{"text": "a \\ud800"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="line 1: the key 'text' holds half a surrogate pair"):
        list(texts_of(str(tmp_path / "a.jsonl")))


def test_a_model_of_more_layers_than_anybody_builds_is_refused(tmp_path: Path) -> None:
    content = {"model_type": "bertinchamps", "num_hidden_layers": 2**63}
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json says 9,223,372,036,854,775,808 layers"):
        open_config(str(tmp_path))
