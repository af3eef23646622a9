"""The ladder of stages that a lent GPU runs: what it leaves when stages fail, hang or are interrupted."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import device
from benchmarks.gpu_minutes import files, ladder, learns, page, processes, rehearsal, right
from benchmarks.gpu_minutes.fast import Fast
from benchmarks.gpu_minutes.learns import Learns
from benchmarks.gpu_minutes.place import OFFLINE, Place
from benchmarks.gpu_minutes.right import Right
from benchmarks.gpu_minutes.scores import CORPORA, QUAERO, Scores
from bertinchamps.tasks.readers import readers
from support import ROOT
from warm import run

SCRIPT = ROOT / "scripts" / "gpu_minutes.py"
EIGHT = {
    "page.md", "right.json", "fast.json", "learns.json", "scores.json", "loss.png", "predictions.zip", "logs.zip",
}  # fmt: skip
FIGURES = {"tokens_per_second", "mfu", "memory_megabytes", "first_update_seconds", "outside_kernels"}
CALL = {"device": "none", "command": "a test"}


@dataclass
class Python:
    """A stage that runs one line of Python."""

    place: Place
    name: str
    line: str = ""
    result_of: dict[str, Any] = field(default_factory=dict)
    seconds: float = 20.0
    takes_what_is_left: bool = False
    grace: float = 0.3
    ask: signal.Signals = signal.SIGTERM

    def commands(self, seconds: float) -> list[processes.Command]:
        del seconds
        return [processes.Command([sys.executable, "-c", self.line], self.place.logs / f"{self.name}.log")]

    def result(self) -> dict[str, Any]:
        return self.result_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(ladder, "LEAST_SECONDS", 0.1)
    (tmp_path / "root").mkdir()
    return Place(tmp_path / "root", tmp_path / "out", tmp_path / "work", tmp_path / "pack")


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: as soon as it is there, the running stage's time is over, however slow this machine is."""
    file = tmp_path / "hanging"

    def now() -> float:
        return time.monotonic() + (1000 if file.is_file() and file.read_bytes() else 0)

    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=now, sleep=time.sleep))
    return file


def climb(place: Place, *stages: ladder.Stage, seconds: float = 60.0) -> tuple[int, str]:
    """The exit status and the page."""
    status = ladder.climb(stages, place, seconds, CALL, ladder.Interruption())
    return status, (place.out / "page.md").read_text(encoding="utf-8")


def outcome(place: Place, stage: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((place.out / f"{stage}.json").read_text(encoding="utf-8"))["stage"]
    return told


def alive(process: int) -> bool:
    """Whether it runs; one that ended and that nobody has asked for yet does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_a_stage_that_fails_costs_no_other(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    failing = Python(place, "right", f"print({str(place.work)!r}); raise SystemExit('boom')")
    status, written = climb(place, failing, Python(place, "fast", result_of={"rows": []}))
    assert status == 1
    assert [outcome(place, name)["came"] for name in ("right", "fast")] == ["failed", "done"]
    assert "right: status 1\nWORK\nboom" in written
    assert str(place.work) not in written
    assert "| right | failed |" in capsys.readouterr().out.strip().splitlines()[-2]
    with zipfile.ZipFile(place.out / "logs.zip") as logs:
        assert b"boom" in logs.read("right.log")


def test_all_done_is_status_0(place: Place) -> None:
    assert climb(place, Python(place, "right"), Python(place, "fast"))[0] == 0


def test_a_stage_that_cannot_start_or_whose_results_cannot_be_read_costs_no_other(place: Place) -> None:
    class Unreadable(Python):
        def result(self) -> dict[str, Any]:
            raise KeyError("rows")

    scores = Scores(place)  # there is no model
    status, written = climb(place, Unreadable(place, "fast"), scores, Python(place, "learns"))
    assert status == 1
    assert "its results cannot be read: KeyError: 'rows'" in written
    assert "give --work the folder of a call that had one" in written
    assert outcome(place, "learns")["came"] == "done"


def test_a_stage_that_hangs_is_killed_with_all_that_it_started(place: Place, hanging: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    hang = (
        "import os, pathlib, subprocess, sys; "
        f"a = subprocess.Popen([sys.executable, '-c', {deaf!r}]); "
        f"b = subprocess.Popen([sys.executable, '-c', {deaf!r}], start_new_session=True); "
        f"pathlib.Path({str(hanging)!r}).write_text(f'{{os.getpid()}} {{a.pid}} {{b.pid}}'); {deaf}"
    )
    hangs = Python(place, "right", hang, seconds=120.0)
    status, written = climb(place, hangs, Python(place, "fast"), seconds=2000)
    assert status == 1
    assert outcome(place, "right")["came"] == "out of time"
    assert outcome(place, "fast")["came"] == "done"
    assert "| right | out of time |" in written
    started = [int(number) for number in hanging.read_text(encoding="utf-8").split()]
    assert len(started) == 3
    assert not [number for number in started if alive(number)]


def test_what_a_stage_leaves_running_does_not_outlive_it(place: Place, tmp_path: Path) -> None:
    number = tmp_path / "number"
    leaves = (
        "import pathlib, subprocess, sys; "
        "a = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True); "
        f"pathlib.Path({str(number)!r}).write_text(str(a.pid))"
    )
    assert climb(place, Python(place, "right", leaves))[0] == 0
    assert not alive(int(number.read_text(encoding="utf-8")))


def test_a_stage_may_finish_what_it_writes_before_it_is_killed(
    place: Place, hanging: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    polite = (
        "import pathlib, signal, sys, time; "
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(told)!r}).write_text('whole'), sys.exit(0))); "
        f"pathlib.Path({str(hanging)!r}).write_text('now'); time.sleep(600)"
    )
    stages = Python(place, "right", polite, seconds=120.0, grace=30.0), Python(place, "fast")
    climb(place, *stages, seconds=2000)
    assert outcome(place, "right")["came"] == "out of time"
    assert told.read_text(encoding="utf-8") == "whole"


def test_what_is_left_of_the_time_goes_to_learning_and_to_the_last(place: Place) -> None:
    stages = [Right(place, warm=True), Fast(place), Learns(place), Scores(place)]
    assert ladder.allotment(stages, 0, 476.0) == 60
    assert ladder.allotment(stages, 1, 446.0) == 150
    assert ladder.allotment(stages, 2, 346.0) == 236
    assert ladder.allotment(stages, 2, 120.0) == 60  # half: without a model there is nothing to score
    assert ladder.allotment(stages, 3, 130.0) == 130
    assert ladder.allotment(stages, 1, 40.0) == 40
    assert ladder.allotment(stages[:1], 0, 300.0) == 300
    assert ladder.allotment(stages, 3, -5.0) == 0


def test_a_budget_in_hours_leaves_room_for_what_it_does_not_hold(place: Place) -> None:
    (trained,) = Learns(place).commands(236.0)
    (budget,) = [word for word in trained.words if word.startswith("budget.hours=")]
    seconds = 3600 * float(budget.partition("=")[2])
    assert seconds == pytest.approx(236 - learns.BEFORE_THE_BUDGET - learns.AFTER_THE_BUDGET, abs=0.01)
    assert {"data=prepared", "experiment=gpu_minutes", "arch=crammed"} < set(trained.words)


def test_stages_without_time_are_reported(place: Place) -> None:
    status, written = climb(place, Python(place, "right"), Python(place, "scores"), seconds=1.0)
    assert status == 1
    assert "| scores | not reached |" in written


def test_stages_see_this_checkout_no_network_and_in_a_rehearsal_no_gpu(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/wheels")
    around = place.environment()
    assert around["PYTHONPATH"].split(os.pathsep) == [str(place.root / "src"), str(place.root), "/wheels"]
    assert around["HF_HUB_OFFLINE"] == "1"
    assert around["BERTINCHAMPS_CACHE"] == str(place.work / "cache")
    assert "BERTINCHAMPS_GPU_REHEARSAL" not in around
    rehearsed = replace(place, rehearsal=True).environment()
    assert (rehearsed["BERTINCHAMPS_GPU_REHEARSAL"], rehearsed["CUDA_VISIBLE_DEVICES"]) == ("1", "")


@pytest.mark.parametrize("cut", ["rows are missing", "in the middle of a row", "not there"])
def test_a_benchmark_that_was_cut_short_is_shown_as_far_as_it_came(
    cut: str, place: Place, hanging: Path
) -> None:
    rows = [
        {"name": "ours", "kind": "update", "micro_batch": 128, "tokens_per_second": 1e6, "mfu": 0.42},
        {"name": "fp8", "kind": "variant", "problem": "no fp8"},
    ]
    whole = json.dumps({"benchmark": "device", "rows": rows})
    text = {"rows are missing": whole, "in the middle of a row": whole[:-9], "not there": ""}[cut]
    writes = f"import pathlib, time; pathlib.Path({str(place.out / 'fast.json')!r}).write_text({text!r}); "
    writes += f"pathlib.Path({str(hanging)!r}).write_text('now'); "

    class Cut(Fast):
        def commands(self, seconds: float) -> list[processes.Command]:
            line = writes + "time.sleep(600)" if text else "raise SystemExit(1)"
            return [processes.Command([sys.executable, "-c", line], self.place.logs / "fast.log")]

    (place.out).mkdir()
    (place.out / ".fast.json.unfinished").write_text("{", encoding="utf-8")
    stages = Cut(place, seconds=120.0, grace=0.3), Python(place, "scores")
    status, written = climb(place, *stages, seconds=2000)
    assert status == 1
    assert outcome(place, "fast")["came"] == ("out of time" if text else "failed")
    if cut == "rows are missing":
        assert "ours: 1,000,000 tokens/s, 42.0% MFU" in written
        assert "| ours | 1,000,000 | 42.0% |" in written
        assert "no fp8" in written
    else:
        assert "No row was reached." in written
    assert {file.name for file in place.out.iterdir()} <= EIGHT


TESTS = """
import pathlib, pytest, signal, time
pytestmark = pytest.mark.gpu
def test_right(): pass
def test_wrong(): assert 1 == 2, "one | two"
@pytest.mark.skip(reason="no fp8")
def test_left_out(): pass
"""
ASLEEP = "time.sleep(600)"
DEAF = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); time.sleep(600)"
BEGUN = "pathlib.Path({!r}).write_text('now'); "


@pytest.mark.parametrize("last", ["", ASLEEP, DEAF], ids=["all end", "one hangs", "one is deaf"])
def test_tests_are_told_one_by_one_and_the_one_that_did_not_end(
    last: str, place: Place, hanging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(right, "SHARE_OF_ONE_TEST", 5)  # pytest-timeout does not come first
    (place.root / "tests" / "gpu").mkdir(parents=True)
    (place.root / "pytest.ini").write_text("[pytest]\nmarkers = gpu: on a card\n", encoding="utf-8")
    hangs = f"def test_hangs(): {BEGUN.format(str(hanging))}{last}\n" if last else ""
    (place.root / "tests" / "gpu" / "test_some.py").write_text(TESTS + hangs, encoding="utf-8")
    stage = Right(place, warm=False, seconds=120.0, grace=30.0 if last == ASLEEP else 0.5)
    status, written = climb(place, stage, Python(place, "fast"), seconds=2000)
    assert status == 1
    assert outcome(place, "right")["came"] == ("out of time" if last else "failed")
    tests = json.loads((place.out / "right.json").read_text(encoding="utf-8"))["tests"]
    assert [(test["test"], test["outcome"]) for test in tests] == [
        (f"tests/gpu/test_some.py::test_{name}", outcome)
        for name, outcome in (
            ("right", "passed"), ("wrong", "failed"), ("left_out", "skipped"), ("hangs", "never ended"),
        )
    ][: 4 if last else 3]  # fmt: skip
    assert "1 passed, 1 failed, " in written
    reported = (place.logs / "right.xml").is_file()
    assert reported == (last != DEAF)
    if reported:
        assert "`tests/gpu/test_some.py::test_wrong`: AssertionError: one \\| two" in written
    assert ("right: status" in written) == bool(last)


def test_a_file_of_tests_that_cannot_be_read_is_told_with_the_error(place: Place) -> None:
    (place.root / "tests" / "gpu").mkdir(parents=True)
    (place.root / "tests" / "gpu" / "test_some.py").write_text("import no_such_module\n", encoding="utf-8")
    _, written = climb(place, Right(place, warm=False), Python(place, "fast"), seconds=120)
    assert "`tests/gpu/test_some.py`: ModuleNotFoundError: No module named 'no_such_module'" in written


def test_an_interrupted_script_writes_its_page(place: Place, tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys\nfrom pathlib import Path\nfrom benchmarks.gpu_minutes import ladder\n"
        "from test_gpu_minutes import Python, Place\n"
        f"place = Place(*map(Path, {[str(place.root), str(place.out), str(place.work), str(place.pack)]!r}))\n"
        f"begun = {str(tmp_path / 'begun')!r}\n"
        'hang = f\'import pathlib, time; pathlib.Path({begun!r}).write_text(str(__import__("os").getpid())); '
        "time.sleep(600)'\n"
        "interruption = ladder.Interruption()\ninterruption.listen()\n"
        "stages = [Python(place, 'right'), Python(place, 'learns', hang), Python(place, 'scores')]\n"
        "sys.exit(ladder.climb(stages, place, 300, {'device': 'none'}, interruption))\n",
        encoding="utf-8",
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    script = subprocess.Popen(
        [sys.executable, driver], env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").is_file() or not (tmp_path / "begun").read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    script.send_signal(signal.SIGTERM)
    said, _ = script.communicate(timeout=60)
    assert script.returncode == 128 + signal.SIGTERM
    written = (place.out / "page.md").read_text(encoding="utf-8")
    for text in (written, said):
        assert "| learns | interrupted |" in text
        assert "| scores | not reached |" in text
    assert not alive(int((tmp_path / "begun").read_text(encoding="utf-8")))


def test_results_of_an_earlier_call_stay_on_the_page(place: Place) -> None:
    climb(place, Python(place, "right", result_of={"tests": [{"test": "a", "outcome": "passed"}]}))
    _, written = climb(place, Python(place, "scores"))
    assert "| right | done | 1 passed" in written
    assert "| scores | done |" in written


def test_a_run_that_was_cut_short_is_told_as_far_as_it_went(tmp_path: Path) -> None:
    kinds = ["held_out", *["train"] * 12, "held_out", "train", "train"]
    lines = [
        {"kind": kind, "step": n, "tokens": 100 * n, "seconds": 2.0 * n, "flops": 1e3 * n}
        | {"loss": 9 - n / 10, "accuracy": 0.1}
        for n, kind in enumerate(kinds)
    ]
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"kind": "tr'
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    result = learns.results_of(tmp_path)
    assert result["updates"] == 14
    assert result["tokens_per_second"] == pytest.approx(50)
    assert "mfu" not in result
    assert len(result["held_out"]) == 2
    shown = "\n".join(learns.section({**result, "stage": {"seconds": 30}}))
    assert "did not come to its end" in shown
    assert "| 26 | 13 | 1,300 | 7.7000 |" in shown
    (tmp_path / "summary.json").write_text('{"peak_flops": 1000}', encoding="utf-8")
    assert learns.results_of(tmp_path)["mfu"] == pytest.approx(0.5)
    assert learns.results_of(tmp_path / "nothing")["held_out"] == []
    summary = {
        "spent": {"seconds": 20.0}, "tokens_per_second": 50.0, "peak_flops": 1e12, "peak_origin": "data sheet",
        "parameters": 7, "device": "a card",
    }  # fmt: skip
    for key in ("mfu", "share_of_peak_flops"):  # the second in runs of earlier versions
        shown = "\n".join(
            learns.section({**result, "stage": {"seconds": 30}, "summary": {**summary, key: 0.25}})
        )
        assert "50 tokens/s, 25.0% of 1 TFLOP/s (data sheet)" in shown


def test_fine_tuning_starts_from_the_newest_model_or_its_checkpoint(tmp_path: Path) -> None:
    def model(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}", encoding="utf-8")
        return folder

    assert learns.model_of(tmp_path) is None
    first = model("pretrained-001/model")
    (tmp_path / "pretrained-002").mkdir()  # ended before it had any
    assert learns.model_of(tmp_path) == first
    model("pretrained-003/checkpoints/step-00000100")
    checkpoint = model("pretrained-003/checkpoints/step-00000200")
    assert learns.model_of(tmp_path) == checkpoint
    finished = model("pretrained-003/model")
    assert learns.model_of(tmp_path) == finished


def test_archives_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_ARCHIVE", 20_000)
    (tmp_path / "noise").write_bytes(os.urandom(30_000))
    (tmp_path / "a.log").write_bytes(b"begin" + b"." * 3_000_000 + b"end")
    members = [(name, tmp_path / name) for name in ("noise", "a.log")]
    assert files.archive(tmp_path / "some.zip", members) == ["noise"]
    assert (tmp_path / "some.zip").stat().st_size < 20_000
    with zipfile.ZipFile(tmp_path / "some.zip") as written:
        log = written.read("a.log")
    assert log.startswith(b"begin")
    assert log.endswith(b"end")
    assert len(log) < 1_100_000
    assert files.last_lines(tmp_path / "a.log")[-1][:10] == "." * 10


def test_the_rehearsed_notes_are_read_as_quaero_is(tmp_path: Path) -> None:
    rehearsal.write_quaero(tmp_path / QUAERO)
    for corpus in CORPORA:
        splits = readers.build(
            name="quaero", corpus=corpus.upper(), path=str(tmp_path / QUAERO), hub=None
        ).read()
        assert {split: len(notes) for split, notes in splits.items()} == rehearsal.NOTES
        assert all(len(note.entities) == 3 for notes in splits.values() for note in notes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out=o", "--stages=right,slow"], "slow: not one of right, fast, learns, scores"),
        (["--out=o"], "need --pack"),
    ],
)
def test_mistakes_on_the_command_line_are_told_before_anything_starts(
    words: list[str], said: str, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, SCRIPT, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert said in ran.stderr
    assert not list(tmp_path.iterdir())


def test_the_calls_of_the_docs_are_understood() -> None:
    parser = runpy.run_path(str(SCRIPT))["parser"]()
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    calls = re.findall(r"^.*python3? scripts/gpu_minutes\.py(.*)$", text, re.MULTILINE)
    assert len(calls) >= 5
    for call in calls:
        arguments = parser.parse_args(shlex.split(call))
        assert set(arguments.stages) <= set(page.ORDER)
        assert arguments.seconds < 600


def test_the_parent_of_the_stages_does_not_import_torch(place: Place) -> None:
    place.out.mkdir()
    (place.out / "fast.json").write_text('{"rows": [{"name": "ours", "kind": "update"}]}', encoding="utf-8")
    line = (
        "import pathlib, runpy, sys; sys.argv = ['gpu_minutes.py', '--help']\n"
        f"try: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"from benchmarks.gpu_minutes.page import page; assert 'ours' in page(pathlib.Path({str(place.out)!r}))\n"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[-1] == "False"


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The whole rehearsal, once: the folder that it was given, and what it said."""
    folder = tmp_path_factory.mktemp("rehearsal")
    words = [str(SCRIPT), "--rehearse", f"--out={folder / 'out'}", f"--work={folder / 'work'}"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        **dict.fromkeys(OFFLINE, "1"),
    }  # as its stages have it
    return folder, run(words, folder, environment, "", timeout=550, stage="hub")


@pytest.mark.long
def test_the_rehearsal_runs_every_stage(rehearsed: Any) -> None:
    folder, ran = rehearsed
    written = (folder / "out" / "page.md").read_text(encoding="utf-8")
    assert ran.returncode == 0, written
    assert {file.name for file in (folder / "out").iterdir()} == EIGHT
    for stage in page.ORDER:
        assert f"| {stage} | done |" in written
        assert f"| {stage} | done |" in ran.stdout
    told = json.loads((folder / "out" / "right.json").read_text(encoding="utf-8"))
    tests = told.get("tests") or told["result"]["tests"]
    assert [test for test in tests if test["outcome"] != "passed"] == []
    assert len(tests) > 30  # every test of a card, tiny
    assert "A rehearsal" in written
    assert "F1 of nested exact on test: EMEA" in written
    assert str(folder) not in written
    with zipfile.ZipFile(folder / "out" / "predictions.zip") as predictions:
        names = set(predictions.namelist())
    assert {f"{corpus}/{split}.jsonl" for corpus in CORPORA for split in ("dev", "test")} < names
    assert not [name for name in names if "train" in name]


@pytest.mark.long
def test_the_rehearsal_measures_every_row_that_needs_no_card(rehearsed: Any, tmp_path: Path) -> None:
    folder, _ = rehearsed
    result = json.loads((folder / "out" / "fast.json").read_text(encoding="utf-8"))
    assert {"benchmark", "date", "command", "versions", "hardware", "rows", "kernels"} <= set(result)
    rows = {each["name"]: each for each in result["rows"]}
    skipped = {name: each for name, each in rows.items() if "problem" in each}
    if not torch.cuda.is_available():
        assert {each["problem"] for each in skipped.values()} == {"skipped: needs CUDA"}
        assert set(skipped) == {"CUDA graphs (reduce-overhead), 2", "max-autotune of products, 2"}
    written = (folder / "out" / "page.md").read_text(encoding="utf-8")
    for name, each in rows.items():
        assert each["kind"] in ("update", "peer", "variant")
        assert f"| {name} |" in written
        if name in skipped:
            continue
        assert each["tokens_per_second"] > 0
        assert 0 < each["mfu"] < 100
        if each["kind"] != "variant":
            assert set(each) == {"name", "kind", "micro_batch", *FIGURES}
            assert 0 <= each["outside_kernels"] < 1
    assert rows["linear_cross_entropy, 2"]["against"] == rows["optim=muon, 2"]["against"] == "bertinchamps, 2"
    assert rows["linear_cross_entropy, 2"]["ratio"] > 0
    assert len(result["kernels"]) == 15
    assert all(set(kernel) == {"name", "microseconds", "calls", "share"} for kernel in result["kernels"])
    assert sum(kernel["share"] for kernel in result["kernels"]) <= 1.001
    device.plot(result, tmp_path / "rates.png")
    assert (tmp_path / "rates.png").stat().st_size > 1000
