"""One seed, one result: bit for bit in two runs, and after being killed at any moment."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.checks.pretraining import problems
from bertinchamps.errors import Stopped, UserError
from bertinchamps.objectives import mlm
from bertinchamps.objectives.mlm import MaskedLanguageModeling
from bertinchamps.pretrain import pretrain
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.trainer import Trainer
from support import QUICK, before_update, command, composed, losses, metrics, started, stop
from warm import Fork

STEPS = 24
LONG = [f"budget.steps={STEPS}", "checkpoint.every_steps=4", "arch.dropout=0.1", "batch.ramp=0.5"]


def test_two_runs_of_one_seed_are_equal_and_another_seed_differs(quick_run: Callable[..., Path]) -> None:
    first = losses(quick_run(*LONG, name="first"))
    assert len(first) == STEPS
    assert losses(quick_run(*LONG, name="second")) == first
    assert losses(quick_run(*LONG, "seed=1", name="third"))[0] != first[0]


def broken_off(
    quick_run: Callable[..., Path], settings: list[str], match: str, end: Callable[[Trainer], None]
) -> Path:
    """A run that ends in an error at its tenth update, and then goes on to its end."""
    with before_update(9, end), pytest.raises(UserError, match=match):
        quick_run(*settings, name="halves")
    return quick_run(*settings, "resume=auto", name="halves")


def fail(trainer: Trainer) -> None:
    raise UserError("the Hub does not answer")


@pytest.mark.parametrize(
    "setting",
    [
        "optim=adamw",
        "optim=muon",
        "objective=mlm_sampled",
        "objective=mlm_30_15",
        "objective=causal_then_mlm blocks.lengths=[16,32]",
        "objective=hybrid",
        "objective=rtd",
        "blocks.curriculum=5",
        "blocks.lengths=[16,32] blocks.documents=apart arch.attention=alternating arch.local_window=4",
    ],
)
def test_a_run_that_was_stopped_goes_on_exactly(quick_run: Callable[..., Path], setting: str) -> None:
    settings = [*LONG, *setting.split()]
    whole = quick_run(*settings, name="whole")
    halves = broken_off(quick_run, settings, "resume=", stop)
    assert losses(halves) == losses(whole)
    assert [r["step"] for r in metrics(halves)] == list(range(1, STEPS + 1))
    scores = [json.loads((run / "summary.json").read_text())["held_out"] for run in (halves, whole)]
    assert scores[0] == scores[1]


def _steps(file: Path) -> int:
    """Updates that a run has told of; the last line may be cut."""
    lines = file.read_text(encoding="utf-8").splitlines()[:-1] if file.exists() else []
    return max((record["step"] for record in map(json.loads, lines) if record["kind"] == "train"), default=0)


def _updates_seen(process: Fork, file: Path, before: int) -> int:
    """Wait until a process has told of an update of its own; returns that update."""
    began = time.time()
    while process.poll() is None:
        if file.exists() and file.stat().st_mtime > began and _steps(file) > before:
            return _steps(file)
        time.sleep(0.002)
    raise AssertionError("the run ended before it made an update")


@pytest.mark.long
def test_killed_at_any_moment_and_resumed_gives_the_same_losses(
    quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    settings = [*LONG, "budget.steps=80", "checkpoint.every_steps=3", "batch.size=16"]
    expected = losses(quick_run(*settings, name="whole"))
    words = ["bertinchamps.pretrain", *QUICK, *settings, "run_dir=killed", "resume=auto"]
    dice = random.Random(20231)
    file, ends = tmp_path / "killed" / "metrics.jsonl", []
    for _ in range(4):
        process = started(*words, cwd=tmp_path)
        first = _updates_seen(process, file, ends[-1] if ends else 0)
        until = first + dice.randrange(3)
        while _steps(file) < until and process.poll() is None:
            time.sleep(0.002)
        time.sleep(dice.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL, (
            "the run ended by itself: it was not killed while it trained"
        )
        ends.append(_steps(file))
    assert ends[-1] < 80
    ended = command(*words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert losses(tmp_path / "killed") == expected


def test_a_run_that_is_finished_says_so(
    quick_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run("budget.steps=2", name="run")
    assert "nothing was trained" not in capsys.readouterr().err
    quick_run("budget.steps=2", "resume=auto", name="run")
    assert f"{run}: this run is finished, so nothing was trained" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used(
    quick_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run(*LONG, name="run")
    expected = losses(run)
    (run / "summary.json").unlink()  # as if it had been killed after its last checkpoint
    newest = sorted((run / "checkpoints").iterdir())[-1]
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    capsys.readouterr()
    quick_run(*LONG, "resume=auto", name="run")
    said = capsys.readouterr().err
    assert f"{weights} is cut" in said
    assert "step-00000020" in said
    assert losses(run) == expected


def test_resume_auto_finds_the_latest_unfinished_run_of_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertinchamps.pretrain import pretrain

    def run(*overrides: str) -> Path:
        return pretrain(composed(*QUICK, "budget.steps=6", f"runs_dir={tmp_path}", *overrides))

    with before_update(2, stop), pytest.raises(UserError):
        run()
    (unfinished,) = tmp_path.iterdir()
    assert run("resume=auto", "seed=5") != unfinished  # other settings: a run of its own
    assert run("resume=auto") == unfinished
    assert run("resume=auto") != unfinished  # it is finished now
    assert len(losses(unfinished)) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("sweep", [[], ["--multirun", "optim.learning_rate=1e-3,1e-4"]])
def test_a_signal_ends_the_run_with_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, number: int, sweep: list[str]
) -> None:
    """A sweep does not begin another job, either."""
    words = ["bertinchamps.pretrain", *sweep, *QUICK, "budget.steps=100000", "runs_dir=runs"]
    process = started(*words, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not any(metrics(file.parent) for file in (tmp_path / "runs").glob("*/metrics.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    (run,) = (file.parent for file in (tmp_path / "runs").glob("*/run.json"))
    assert f"resume=runs/{run.name} goes on" in said
    (saved,) = (run / "checkpoints").iterdir()
    assert int(saved.name.removeprefix("step-")) == len(losses(run))


def test_the_weights_before_a_non_finite_loss_are_saved(
    quick_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file

    from bertinchamps.training.updates import NonFiniteLoss

    with pytest.raises(NonFiniteLoss, match="before the weights were touched"):
        quick_run("budget.steps=50", "optim.learning_rate=1e30", "gradient_clipping=null")
    (saved,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert (
        f"are in a checkpoint. The same command with resume={tmp_path / 'run'} goes on"
        in capsys.readouterr().err
    )
    assert all(tensor.isfinite().all() for tensor in load_file(saved / "model.safetensors").values())


def test_a_run_is_trained_by_one_process_at_a_time(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    import fcntl

    run = quick_run("budget.steps=2")
    (run / "summary.json").unlink()
    with (run / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is training this run"):
            quick_run("budget.steps=2", "resume=auto")
    quick_run("budget.steps=2", "resume=auto")


@pytest.mark.parametrize("leftover", [".run.json.unfinished", "config.yaml"])
def test_a_kill_while_the_directory_is_made_is_no_obstacle(
    quick_run: Callable[..., Path], tmp_path: Path, leftover: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / leftover).write_text("half")
    assert len(losses(quick_run("budget.steps=2", "resume=auto"))) == 2


def test_a_finished_run_is_not_trained_again(quick_run: Callable[..., Path]) -> None:
    run = quick_run("budget.steps=2")
    before = (run / "metrics.jsonl").stat().st_mtime_ns
    assert quick_run("budget.steps=2", "resume=auto") == run
    assert (run / "metrics.jsonl").stat().st_mtime_ns == before


def refused(config: PretrainConfig) -> str:
    """What is said of a configuration that does not start."""
    with pytest.raises(UserError) as error:
        pretrain(config)
    return str(error.value)


def test_a_taken_directory_and_other_settings_are_refused_and_nothing_is_lost(
    quick_run: Callable[..., Path],
) -> None:
    run = quick_run("budget.steps=2")
    content = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
    settings = composed(*QUICK, "budget.steps=2", f"run_dir={run}")
    for refuse in (lambda: "\n".join(problems(settings)), lambda: refused(settings)):
        assert "not empty, and nothing in it was touched" in refuse()
    with pytest.raises(UserError, match=r"optim\.learning_rate was 0\.001 and is now 0\.1"):
        quick_run("budget.steps=2", "optim.learning_rate=0.1", "resume=auto")
    assert {f: f.read_bytes() for f in run.rglob("*") if f.is_file()} == content


def test_an_altered_corpus_is_noticed(tmp_path: Path) -> None:
    from bertinchamps.pretrain import pretrain

    file, held_out = tmp_path / "notes.txt", tmp_path / "held_out.txt"
    line = "Le patient présente une fièvre depuis deux jours et tousse la nuit.\n"
    file.write_text(line * 400)
    held_out.write_text("Le médecin examine la patiente le matin. " * 40)
    overrides = ["data=files", f"data.files=[{file}]", f"data.held_out_files=[{held_out}]", "budget.steps=2"]
    quick = [word for word in QUICK if not word.startswith("data")]
    pretrain(composed(*quick, *overrides, f"run_dir={tmp_path / 'run'}"))
    (tmp_path / "run" / "summary.json").unlink()
    times = file.stat()
    file.write_text(line.replace("deux", "cinq") * 400)  # the same name, the same size
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # and the same time
    with pytest.raises(UserError, match="the corpus is not the one this run began with"):
        pretrain(composed(*quick, *overrides, f"run_dir={tmp_path / 'run'}", "resume=auto"))


def test_a_run_on_a_stream_goes_on_at_the_exact_document(
    quick_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a window of a few blocks, so that the checkpoint lies windows behind the start."""
    from bertinchamps.data import online

    monkeypatch.setattr(online, "WINDOW", 32 * 20)
    settings = [*LONG, "data.online=true", "cleaning=[{name: unicode},{name: length,least: 30}]"]
    whole = quick_run(*settings, name="whole")
    assert losses(broken_off(quick_run, settings, "resume=", stop)) == losses(whole)
    assert losses(quick_run(*LONG, name="prepared")) != losses(whole)


@pytest.mark.parametrize("call", [1, 5, 9])
def test_a_signal_ends_an_evaluation_which_is_made_when_the_run_goes_on(
    call: int, quick_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first, a middle and the last evaluation the first of four batches is scored, and no other."""
    monkeypatch.setattr(mlm, "EVALUATION_BATCH", 2)
    settings = ["budget.steps=6", "arch.dropout=0.1"]
    whole = quick_run(*settings, name="whole")
    calls, scored = 0, MaskedLanguageModeling._scored

    def counted(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return scored(*given)

    monkeypatch.setattr(MaskedLanguageModeling, "_scored", counted)
    with pytest.raises(Stopped, match="resume=") as stopped:
        quick_run(*settings, name="halves")
    assert (stopped.value.number, calls) == (signal.SIGTERM, call)
    halves = quick_run(*settings, "resume=auto", name="halves")
    assert losses(halves) == losses(whole)
    scores = [
        [(record["step"], record["loss"]) for record in metrics(run, "held_out")] for run in (halves, whole)
    ]
    assert scores[0] == scores[1]
    assert [step for step, _ in scores[0]] == [0, 3, 6]


def test_documents_that_fail_in_the_middle_cost_no_update(quick_run: Callable[..., Path]) -> None:
    settings = [*LONG, "checkpoint.every_steps=null"]
    whole = quick_run(*settings, name="whole")
    halves = broken_off(quick_run, settings, "the Hub does not answer", fail)
    assert [r["step"] for r in metrics(halves)] == list(range(1, STEPS + 1))
    assert losses(halves) == losses(whole)


@pytest.mark.parametrize("place", ["/proc/x", "/dev/null", "file", "file/below"])
@pytest.mark.parametrize("key", ["run_dir", "runs_dir"])
def test_a_place_where_no_run_can_be_is_told_before_anything_else(
    key: str, place: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    wanted = place if place.startswith("/") else str(tmp_path / place)
    (told,) = problems(composed(*QUICK, "budget.steps=2", f"{key}={wanted}"))
    assert told.startswith(f"{key}={wanted}: no directory can be made there (")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_that_is_not_there_is_told_before_anything_else(tmp_path: Path) -> None:
    (told,) = problems(composed(*QUICK, "budget.steps=2", f"resume={tmp_path}"))
    assert told.startswith(f"resume={tmp_path}: no run there (no run.json)")


DAMAGES = (b"", b"{", b"[]", b"\xff\xfe", b"null", b"{}", b"[" * 100_000)


@pytest.mark.parametrize("damage", DAMAGES, ids=range(len(DAMAGES)))
@pytest.mark.parametrize("name", ["run.json", "config.yaml", "summary.json"])
def test_a_damaged_file_of_a_run_is_named(
    name: str, damage: bytes, quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = quick_run("budget.steps=2", "checkpoint.every_steps=1")
    if name != "summary.json":
        (run / "summary.json").unlink()
    (run / name).write_bytes(damage)
    assert f"{run / name}: " in refused(composed(*QUICK, "budget.steps=2", f"run_dir={run}", "resume=auto"))


@pytest.mark.parametrize("damage", DAMAGES, ids=range(len(DAMAGES)))
def test_another_runs_damaged_configuration_is_no_obstacle(
    damage: bytes, quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    other = quick_run("budget.steps=1", name="z_other")
    (other / "summary.json").unlink()
    (other / "config.yaml").write_bytes(damage)
    assert (
        pretrain(composed(*QUICK, "budget.steps=1", f"runs_dir={tmp_path}", "resume=auto")).parent == tmp_path
    )


def test_what_a_run_writes_is_its_owners_alone(tmp_path: Path) -> None:
    words = ["task=demo", "task.documents=20", "runtime=eager", "runtime.compile=off", "budget.epochs=0.2"]
    shape = ["model=scratch", "arch=tiny", "tokenizer.vocab_size=200", "run_dir=run"]
    old = os.umask(0o022)
    try:
        ended = command("bertinchamps.finetune", *words, *shape, cwd=tmp_path)
    finally:
        os.umask(old)
    assert ended.returncode == 0, ended.stderr
    open_to_others = [path for path in tmp_path.rglob("*") if path.stat().st_mode & 0o077]
    assert open_to_others == []
    assert list(tmp_path.rglob("predictions/*"))


def test_a_pipe_that_nobody_reads_and_a_full_disk_end_without_a_traceback(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bertinchamps.pretrain", *QUICK, "budget.steps=2", "--cfg", "job"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            words, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 2
    assert "the output cannot be written (No space left on device)" in ended.stderr
    assert "Traceback" not in ended.stderr
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(words, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert ended.returncode == 128 + signal.SIGPIPE
    assert ended.stderr == ""


def test_a_full_disk_at_the_first_and_last_files_of_a_run_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    words = [*QUICK, "budget.steps=2", f"run_dir={tmp_path / 'run'}"]
    with monkeypatch.context() as patched:
        patched.setattr("bertinchamps.training.run.write_file", full)
        with pytest.raises(
            UserError, match=r"run: no run can be written there \(No space left on device\); make"
        ):
            pretrain(composed(*words))
    with monkeypatch.context() as patched:
        patched.setattr("bertinchamps.training.assembly.finish", full)
        with pytest.raises(
            UserError, match=r"run: the results cannot be written \(No space .* resume=.*run writes"
        ):
            pretrain(composed(*words))
    pretrain(composed(*words, "resume=auto"))
    assert (tmp_path / "run" / "summary.json").is_file()


SHAPING = ("data", "tokenizer", "blocks")
NO_FILE_GROWS = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
del sys.argv[0], sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(("most", "told"), [(3000, "cannot be"), (60_000, "no checkpoint at step 1")])
def test_a_disk_on_which_no_file_grows_ends_the_run_without_a_traceback(
    tmp_path: Path, most: int, told: str
) -> None:
    words = [*QUICK, "budget.steps=2", "checkpoint.every_steps=1", "run_dir=run", "report.html=false"]
    made = command(
        "bertinchamps.prepare", *[word for word in QUICK if word.startswith(SHAPING)], cwd=tmp_path
    )
    assert made.returncode == 0, made.stderr
    ended = command("-c", NO_FILE_GROWS, str(most), "bertinchamps.pretrain", *words, cwd=tmp_path)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not [file for file in tmp_path.rglob("*.unfinished") if file.suffix == ".safetensors"]
    again = command("bertinchamps.pretrain", *words, "resume=auto", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(losses(tmp_path / "run")) == 2
