"""Several processes train as one does: the same losses, one end, and back after a death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.errors import ReportedByMain, UserError
from bertinchamps.launch import Launch, launched
from bertinchamps.pretrain import pretrain
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.training import checkpoint
from bertinchamps.training.distributed import Processes
from bertinchamps.training.runtime import runtime_problems
from bertinchamps.training.shared_run import refuse_differences
from support import QUICK, command, composed, metrics, started
from tiny_corpora import brat_corpus
from tiny_encoders import make_encoder
from warm import Fork

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")

# Seven micro-batches an update in the end, which neither 2 nor 3 divide; a ramp; and dropout.
UNEVEN = ["batch.size=28", "batch.ramp=0.6", "arch.dropout=0.1"]
COMPARED = ("loss", "gradient_norm", "learning_rate", "progress")
COUNTED = ("step", "tokens", "sequences")


@dataclass
class Job:
    """A job of torchrun; its processes are those that work in the test's folder."""

    launcher: subprocess.Popen[str] | Fork
    folder: Path

    def processes(self) -> list[int]:
        """Process ids of all but the launcher, oldest first."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                status = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                here = (folder / "cwd").readlink() == self.folder
            except OSError:  # not ours, or gone by now
                continue
            if here and int(folder.name) != self.launcher.pid:
                found.append((int(status[19]), int(folder.name)))
        return [process for _, process in sorted(found)]

    def kill(self, rank: int) -> None:
        children = Path(f"/proc/{self.launcher.pid}/task/{self.launcher.pid}/children")
        ranks = set(map(int, children.read_text(encoding="utf-8").split()))
        os.kill([process for process in self.processes() if process in ranks][rank], signal.SIGKILL)

    def end(self) -> tuple[int | None, str]:
        """Exit status and what was said, once the job has ended."""
        _, said = self.launcher.communicate(timeout=240)
        return self.launcher.returncode, said


Start = Callable[..., Job]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a job in the test's folder; whatever of it still lives at the end of the test is killed."""
    jobs: list[Job] = []

    def begin(processes: int, *words: str, restarts: int = 0, fresh: bool = False) -> Job:
        """Start torchrun, as a fork whose ranks are forks, or as a new Python whose ranks are new ones."""
        torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        words = (*torchrun, f"--max-restarts={restarts}", *words)
        if fresh:
            launcher: subprocess.Popen[str] | Fork = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        else:
            launcher = started(*words, cwd=tmp_path)
        jobs.append(Job(launcher, tmp_path))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.launcher.kill()
        for process in job.processes():
            os.kill(process, signal.SIGKILL)


def pretraining(*settings: str, run: str = "run") -> list[str]:
    return ["-m", "bertinchamps.pretrain", *QUICK, f"run_dir={run}", *settings]


def slow_pretraining(*settings: str) -> list[str]:
    """The same, which a test can be sure to break off in the middle."""
    return [str(Path(__file__).parent / "slow_updates.py"), *pretraining(*settings)[2:]]


def wait_for_updates(job: Job, run: Path, number: int) -> None:
    deadline = time.monotonic() + 200
    while not (run / "metrics.jsonl").exists() or len(metrics(run)) < number:
        assert time.monotonic() < deadline
        assert job.launcher.poll() is None, job.end()
        time.sleep(0.01)


def assert_same(run: Path, reference: Path) -> None:
    """Each update read as much as that of the reference, and came to the same numbers up to rounding."""
    ours, theirs = metrics(run), metrics(reference)
    assert [[r[key] for key in COUNTED] for r in ours] == [[r[key] for key in COUNTED] for r in theirs]
    for ours_of_it, theirs_of_it in zip(ours, theirs, strict=True):
        for key in COMPARED:
            assert ours_of_it[key] == pytest.approx(theirs_of_it[key], rel=2e-3, abs=1e-6), (key, ours_of_it)
    scores, expected = metrics(run, "held_out")[-1], metrics(reference, "held_out")[-1]
    assert scores["loss"] == pytest.approx(expected["loss"], rel=1e-3)


@pytest.mark.long
@pytest.mark.parametrize(
    ("processes", "data"),
    [(2, []), (3, []), (2, ["data.online=true"]), (2, ["sparsity=gradual"]), (2, ["objective=hybrid"])],
    ids=str,
)
def test_any_number_of_processes_gives_the_losses_of_one(
    quick_run: Callable[..., Path], start: Start, tmp_path: Path, processes: int, data: list[str]
) -> None:
    settings = [*UNEVEN, "budget.steps=12", *data]
    reference = quick_run(*settings, name="reference")
    assert (
        len({record["sequences"] for record in metrics(reference)}) == 7
    )  # the ramp begins with one micro-batch
    status, said = start(processes, *pretraining(*settings), fresh=processes == 2 and not data).end()
    assert status == 0, said
    assert_same(tmp_path / "run", reference)
    assert f"{processes} processes" in said
    assert said.count("run        ") == 1  # one of them speaks
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


SCRATCH = ("model=scratch", "arch=tiny", "tokenizer.vocab_size=300", "tokenizer.min_frequency=1")


@pytest.mark.long
@pytest.mark.parametrize("encoder", [SCRATCH, ("model=encoder", "adapter=lora")], ids=["whole", "adapter"])
def test_two_processes_finetune_as_one_does(start: Start, tmp_path: Path, encoder: tuple[str, ...]) -> None:
    make_encoder("bert", tmp_path / "encoder")
    small = ["runtime=eager", "runtime.compile=off", "runtime.threads=1", "max_length=48", "head=nested"]
    batches = ["batch.size=6", "batch.micro_batch=2", "budget.epochs=2", "optim.learning_rate=1e-3"]
    words = ["bertinchamps.finetune", *brat_corpus(tmp_path / "corpus"), *encoder, *small, *batches]
    alone = command(*words, "run_dir=alone", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    status, said = start(2, "-m", *words, "run_dir=run").end()
    assert status == 0, said
    assert said.count("results    ") == 1  # one of them speaks
    ours, theirs = metrics(tmp_path / "run"), metrics(tmp_path / "alone")
    assert len(ours) > 3
    assert [[r[key] for key in COUNTED] for r in ours] == [[r[key] for key in COUNTED] for r in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=2e-3)
    results = [json.loads((tmp_path / run / "results.json").read_text()) for run in ("run", "alone")]
    assert results[0]["data_fingerprint"] == results[1]["data_fingerprint"]
    assert "2 processes" in results[0]["hardware"]
    assert "compute nothing" not in said


THREADS_AFTER = """
import os
from pathlib import Path

from bertinchamps import command_line

command_line.run("pretrain")
names = [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
Path(f"threads.{os.environ['RANK']}").write_text(" ".join(names))
"""


def test_no_thread_of_gloo_outlives_the_work(start: Start, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(THREADS_AFTER)
    status, said = start(2, "script.py", *pretraining("budget.steps=2")[2:]).end()
    assert status == 0, said
    for rank in range(2):
        threads = (tmp_path / f"threads.{rank}").read_text()
        assert "python" in threads
        assert "gloo" not in threads


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """What one process does from beginning to end; when it keeps checkpoints changes no number."""
    run = tmp_path_factory.mktemp("alone") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTINCHAMPS_CACHE", str(cache))
        return pretrain(composed(*QUICK, *UNEVEN, "budget.steps=36", f"run_dir={run}"))


@pytest.mark.long
def test_stopped_by_a_signal_and_resumed_on_another_number(
    reference: Path, start: Start, tmp_path: Path
) -> None:
    settings = [*UNEVEN, "budget.steps=36"]
    job = start(2, *slow_pretraining(*settings))
    wait_for_updates(job, tmp_path / "run", 10)
    job.launcher.send_signal(signal.SIGTERM)
    status, said = job.end()
    assert status != 0
    assert said.count("the same command with resume=run goes on") == 1
    assert job.processes() == []
    (saved,) = (tmp_path / "run" / "checkpoints").iterdir()
    stopped_at = len(metrics(tmp_path / "run"))
    assert saved.name == checkpoint.name_of(stopped_at)
    assert stopped_at < 36
    sequences = sum(record["sequences"] for record in metrics(tmp_path / "run"))
    assert checkpoint.read_state(saved)["position"] == sequences
    status, said = start(3, *pretraining(*settings, "resume=auto")).end()
    assert status == 0, said
    assert f"going on from run/checkpoints/{saved.name}" in said
    assert_same(tmp_path / "run", reference)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_dead_process_ends_the_job(start: Start, tmp_path: Path, rank: int) -> None:
    job = start(2, *pretraining("budget.steps=100000", "checkpoint.every_steps=10"))
    wait_for_updates(job, tmp_path / "run", 15)
    job.kill(rank)
    status, said = job.end()
    assert status != 0
    forced = "Unable to shutdown process"  # torchrun's word when it has to kill whoever does not end
    assert forced not in said
    assert "another process of this job ended" in said
    assert job.processes() == []
    whole = checkpoint.latest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert whole is not None
    if rank != 0:
        done = len(metrics(tmp_path / "run"))
        assert whole.name == checkpoint.name_of(done)  # the first process lost no update
        assert f"The weights after update {done} are in a checkpoint" in said


@pytest.mark.long
@pytest.mark.parametrize(("processes", "rank"), [(3, 2), (2, 0)])
def test_torchrun_brings_a_job_back(
    reference: Path, start: Start, tmp_path: Path, processes: int, rank: int
) -> None:
    settings = [*UNEVEN, "budget.steps=36", "checkpoint.every_steps=4"]
    job = start(processes, *slow_pretraining(*settings), restarts=1)
    wait_for_updates(job, tmp_path / "run", 10)
    job.kill(rank)
    status, said = job.end()
    assert status == 0, said
    assert "torchrun began this job again" in said
    assert "going on from run/checkpoints/step-" in said
    assert_same(tmp_path / "run", reference)


def test_all_processes_end_with_the_same_update(start: Start, tmp_path: Path) -> None:
    scenarios = (
        "the budget ends",
        "time is up for the last process",
        "the last process is told to stop",
    )
    script = str(Path(__file__).parent / "trainers_apart.py")
    status, said = start(3, script, str(tmp_path), *scenarios).end()
    assert status == 0, said
    of_processes = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(3)]
    for scenario in scenarios:
        told: list[dict[str, Any]] = [of_process[scenario] for of_process in of_processes]
        steps = told[0]["steps"]
        for key in ("steps", "position", "weights", "large_messages", "stop_requested"):
            assert len({str(one[key]) for one in told}) == 1, (scenario, key, told)
        assert steps >= 2
        assert told[0]["position"] == steps * 80
        assert told[0]["large_messages"] == steps  # however many micro-batches
        done = sum(one["micro_batches"] for one in told)
        assert steps * 20 < done < (steps + 1) * 20, (scenario, "no update was dropped in the middle")
        assert told[0]["stop_requested"] == ("told to stop" in scenario)


@pytest.mark.parametrize("module", ["predict", "prepare", "report"])
def test_what_runs_in_one_process_is_refused_in_several(module: str, tmp_path: Path) -> None:
    several = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    result = command(f"bertinchamps.{module}", cwd=tmp_path, **several)
    assert result.returncode == 2
    assert "torchrun started 2 processes, and this command runs in one" in result.stderr


class Two(Processes):
    """Two processes, the other of which tells what a test lets it tell."""

    def gather(self, value: Any) -> list[Any]:
        return [value, self.other(value)]

    def other(self, value: Any) -> Any:
        return value


def test_other_documents_and_other_settings_are_refused() -> None:
    config = composed(*QUICK, "budget.steps=2")

    class OtherCorpus(Two):
        def other(self, value: Any) -> Any:
            return {**value, "the corpus": "b"}

    class OtherBatch(Two):
        def other(self, value: Any) -> Any:
            return {**value, "batch.size": 16}

    refuse_differences(Two(world_size=2), config, "a")
    with pytest.raises(UserError, match="the corpus is 'a' on process 0 and 'b' on process 1"):
        refuse_differences(OtherCorpus(world_size=2), config, "a")
    with pytest.raises(UserError, match=r"batch\.size is 8 on process 0 and 16 on process 1"):
        refuse_differences(OtherBatch(world_size=2), config, "a")
    elsewhere = replace(config, runtime=replace(config.runtime, threads=7))  # another machine, other cores

    class OtherMachine(Two):
        def other(self, value: Any) -> Any:
            from bertinchamps.training.settings import deciding_settings

            return {**deciding_settings(elsewhere), "the corpus": "a"}

    refuse_differences(OtherMachine(world_size=2), config, "a")


def test_an_error_of_one_process_is_that_of_all() -> None:
    class OtherFails(Two):
        def other(self, value: Any) -> Any:
            return "notes.txt: no such file"

    def fails() -> int:
        raise UserError("mine")

    assert Two(world_size=2).together(lambda: 5) == 5
    with pytest.raises(UserError, match=r"^mine$"):
        Two(world_size=2).together(fails)
    with pytest.raises(ReportedByMain):
        Two(rank=1, world_size=2).together(fails)
    with pytest.raises(UserError, match=r"process 1: notes\.txt: no such file"):
        OtherFails(world_size=2).together(lambda: 5)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("RANK", "0")
    (problem,) = runtime_problems(RuntimeConfig(device="auto"))
    assert "2 processes on a machine with 1 CUDA devices" in problem
    assert runtime_problems(RuntimeConfig(device="cpu")) == []


def test_the_place_of_a_process_is_what_torchrun_says() -> None:
    assert launched({}) == Launch()
    assert launched({"WORLD_SIZE": "4"}) == Launch()  # of something else
    said = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    assert launched({**said, "TORCHELASTIC_RESTART_COUNT": "2"}) == Launch(3, 1, 4, 2, 2)
    assert not launched(said).is_main
