"""What happens beside the updates, where something fails: a full disk, an error, a kill, another thread."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_trainer import Regression, trainer_of

from bertinchamps.errors import UserError
from bertinchamps.schemas import CheckpointConfig, EvaluationConfig
from bertinchamps.signals import hearing
from bertinchamps.training import checkpoint
from bertinchamps.training.clock import Spent
from bertinchamps.training.hook import Hook
from bertinchamps.training.hooks import (
    BudgetBar,
    Checkpoints,
    Evaluation,
    Logging,
    MetricsLog,
    read_metrics,
)
from bertinchamps.training.trackers import trackers
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import Update

FULL = OSError(errno.ENOSPC, "No space left on device")


class Heard(BudgetBar):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def print(self, message: str) -> None:
        self.said.append(message)


def metrics_log(folder: Path, step: int = 0) -> tuple[MetricsLog, list[str]]:
    said: list[str] = []
    tracker = trackers.build(name="none", run_dir=folder, settings={})
    return MetricsLog(folder / "metrics.jsonl", step, tracker, said.append), said


def checkpoints(
    folder: Path, bar: Heard, save: Callable[[Path], None] | None = None, at_end: bool = False, **more: Any
) -> Checkpoints:
    def plain(new: Path) -> None:
        (new / "model.safetensors").write_bytes(b"weights")

    return Checkpoints(CheckpointConfig(**more), folder, save or plain, bar, at_end)


class Failing(Hook):
    """Raises an error after an update."""

    def __init__(self, error: BaseException, step: int) -> None:
        self._error, self._step = error, step

    def observe(self, trainer: Trainer, update: Update) -> None:
        if update.step == self._step:
            raise self._error


@pytest.mark.parametrize("error", [UserError("the source"), RuntimeError("a bug"), OSError(errno.EIO, "bad")])
def test_any_error_leaves_a_checkpoint_of_the_last_whole_update(tmp_path: Path, error: Exception) -> None:
    bar = Heard()
    hooks = [Failing(error, 3), checkpoints(tmp_path, bar)]
    with pytest.raises(type(error)):
        trainer_of(Regression(), size=4, steps=9, hooks=hooks).fit()
    (saved,) = checkpoint.all_of(tmp_path / "checkpoints")
    assert saved.name == "step-00000003"
    assert checkpoint.read_state(saved)["position"] == 12
    assert bar.said == [
        f"the weights after update 3 are in a checkpoint. The same command with resume={tmp_path} goes on from "
        "step-00000003"
    ]


def test_an_error_within_a_step_leaves_none(tmp_path: Path) -> None:
    """Half of the weights may have changed then."""
    bar = Heard()
    trainer = trainer_of(Regression(), size=4, steps=9, hooks=[checkpoints(tmp_path, bar)])

    def fail() -> None:
        if trainer.step == 2:
            raise RuntimeError("in the middle")

    trainer.optimizer.step = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        trainer.fit()
    assert checkpoint.all_of(tmp_path / "checkpoints") == []


def test_what_a_failed_write_left_goes_at_once_and_the_message_says_what_is_there(tmp_path: Path) -> None:
    bar, room = Heard(), True

    def save(new: Path) -> None:
        (new / "model.safetensors").write_bytes(b"weights" * 100)
        if not room:
            raise FULL

    class FillUp(Hook):
        def after_update(self, trainer: Trainer) -> None:
            nonlocal room
            room = trainer.step < 2

    hooks = [FillUp(), checkpoints(tmp_path, bar, save, every_steps=1)]
    with pytest.raises(
        UserError, match=r"model: cannot be written \(No space left.*goes on from step-00000001$"
    ):
        trainer_of(Regression(), size=4, steps=3, hooks=hooks).fit()
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    assert not list(tmp_path.glob(".*.unfinished"))
    assert bar.said[:2] == [
        f"no checkpoint at step {step}: No space left on device; training goes on" for step in (2, 3)
    ]


def test_without_any_checkpoint_none_is_promised(tmp_path: Path) -> None:
    def save(new: Path) -> None:
        raise FULL

    hooks = [checkpoints(tmp_path, Heard(), save)]
    with pytest.raises(UserError, match=r"The run has no checkpoint: it would start over$"):
        trainer_of(Regression(), size=4, steps=2, hooks=hooks).fit()


def test_the_finished_model_takes_the_room_of_old_checkpoints(tmp_path: Path) -> None:
    bar = Heard()

    def save(new: Path) -> None:
        if new.name == ".model.unfinished" and len(checkpoint.all_of(tmp_path / "checkpoints")) > 1:
            raise FULL
        (new / "model.safetensors").write_bytes(b"weights")

    trainer_of(Regression(), size=4, steps=4, hooks=[checkpoints(tmp_path, bar, save, every_steps=1)]).fit()
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert [folder.name for folder in checkpoint.all_of(tmp_path / "checkpoints")] == ["step-00000004"]
    assert "does not fit on the disk" in bar.said[-1]


def steps_in(folder: Path) -> list[int]:
    return [int(saved.name.removeprefix("step-")) for saved in checkpoint.all_of(folder / "checkpoints")]


def test_the_checkpoint_of_the_end_goes_alone_and_its_run_does_not_train_on(tmp_path: Path) -> None:
    hook = checkpoints(tmp_path, Heard(), at_end=True, every_steps=2, keep=1)
    trainer_of(Regression(), size=4, steps=5, hooks=[hook]).fit()
    assert steps_in(tmp_path) == [4, 5]
    resumed = checkpoints(tmp_path, Heard(), at_end=True, every_steps=2, keep=1)
    resumed.load(tmp_path / "checkpoints" / "step-00000005" / "resume")
    trainer = trainer_of(Regression(), size=4, steps=9, hooks=[resumed])
    trainer.clock._spent.steps = 5
    trainer.fit()
    assert trainer.step == 5
    assert steps_in(tmp_path) == [4, 5]
    resumed.forget_end()
    assert steps_in(tmp_path) == [4]


def test_the_finished_model_takes_the_room_of_the_checkpoint_of_the_end(tmp_path: Path) -> None:
    bar = Heard()

    def save(new: Path) -> None:
        if new.name == ".model.unfinished" and steps_in(tmp_path)[-1] == 4:
            raise FULL
        (new / "model.safetensors").write_bytes(b"weights")

    hook = checkpoints(tmp_path, bar, save, at_end=True, every_steps=3)
    trainer_of(Regression(), size=4, steps=4, hooks=[hook]).fit()
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert steps_in(tmp_path) == [3]
    assert bar.said == ["the finished model does not fit on the disk: the checkpoint of the end is deleted"]


def test_a_disk_without_room_for_the_checkpoint_of_the_end_costs_that_one_alone(tmp_path: Path) -> None:
    bar = Heard()

    def save(new: Path) -> None:
        if new.name != ".model.unfinished":
            raise FULL
        (new / "model.safetensors").write_bytes(b"weights")

    trainer_of(Regression(), size=4, steps=4, hooks=[checkpoints(tmp_path, bar, save, at_end=True)]).fit()
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert bar.said == ["no checkpoint at the end of training: No space left on device; the run goes on"]


def test_a_full_disk_costs_no_record_of_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, said = metrics_log(tmp_path)
    log.write("train", Spent(steps=1), {"loss": 3.0})
    path_open = Path.open

    def full(self: Path, mode: str = "r", **more: Any) -> Any:
        if mode != "a":
            return path_open(self, mode, **more)
        with path_open(self, mode, **more) as stream:
            stream.write('{"kind": "tra')  # as much as there was room for
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        for step in (2, 3):
            log.write("train", Spent(steps=step), {"loss": 2.0})
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1]
    log.write("train", Spent(steps=4), {"loss": 1.0})
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]
    assert len(said) == 1
    assert "No space left on device" in said[0]


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\n", b'{"kind": "train", "st\n', b"[1]\n", b'{"kind": "train"}\n']
)
def test_a_damaged_line_of_the_metrics_costs_that_line_alone(tmp_path: Path, damage: bytes) -> None:
    log, _ = metrics_log(tmp_path)
    for step in range(1, 5):
        log.write("train", Spent(steps=step), {"loss": 1.0 * step})
    file = tmp_path / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    assert [record["step"] for record in read_metrics(file)] == [1, 2, 3, 4]
    _, said = metrics_log(tmp_path, step=3)
    assert [record["step"] for record in read_metrics(file)] == [1, 2, 3]
    assert said == [f"{file}: 1 damaged lines were left out; the file as it was is metrics.jsonl.damaged"]
    assert damage in (tmp_path / "metrics.jsonl.damaged").read_bytes()


def test_a_last_line_that_a_kill_cut_short_is_no_damage(tmp_path: Path) -> None:
    log, _ = metrics_log(tmp_path)
    for step in (1, 2):
        log.write("train", Spent(steps=step), {"loss": 1.0})
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    assert [record["step"] for record in read_metrics(file)] == [1]
    assert metrics_log(tmp_path, step=1)[1] == []


def test_an_evaluation_that_was_written_before_a_kill_is_not_written_again(tmp_path: Path) -> None:
    log, _ = metrics_log(tmp_path)
    log.write("held_out", Spent(steps=5), {"loss": 1.25, "evaluation_seconds": 0.1})
    log, _ = metrics_log(tmp_path, step=5)
    evaluation = Evaluation(EvaluationConfig(every=0.5), log, Heard())
    trainer = trainer_of(Regression(), size=4, steps=5)
    trainer.clock._spent.steps = 5
    evaluation.before_training(trainer)
    evaluation.after_training(trainer)
    assert evaluation.scores == {"loss": 1.25}
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1


def test_training_works_off_the_main_thread(tmp_path: Path) -> None:
    hooks = [checkpoints(tmp_path, Heard())]
    trainer = trainer_of(Regression(), size=4, steps=5, hooks=hooks)
    errors: list[BaseException] = []

    def fit() -> None:
        try:
            with hearing(lambda number: None):
                trainer.fit()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert errors == []
    assert trainer.step == 5


def test_a_terminal_that_was_closed_costs_no_run() -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

        def flush(self) -> None:
            raise OSError(errno.EIO, "Input/output error")

    bar = BudgetBar()
    bar.console.file = Gone()  # type: ignore[assignment]
    bar.start()
    bar.print("hello")
    bar.stop()


@pytest.mark.parametrize(("seconds", "told"), [(0.02, True), (0.0, False)])
def test_an_optimizer_that_takes_more_time_than_its_model_is_told_of_once(
    tmp_path: Path, seconds: float, told: bool
) -> None:
    bar = Heard()
    trainer = trainer_of(Regression(), size=4, steps=12, hooks=[Logging(metrics_log(tmp_path)[0], bar)])
    step, loss = trainer.optimizer.step, trainer._loss

    def slow_step() -> None:
        time.sleep(seconds)
        step()

    def slow_loss(*given: Any) -> Any:
        time.sleep(0.005)
        return loss(*given)

    trainer.optimizer.step, trainer._loss = slow_step, slow_loss  # type: ignore[method-assign]
    trainer.fit()
    assert [line for line in bar.said if "the optimizer takes" in line] == [
        line for line in bar.said if "optim=adamw steps faster" in line
    ]
    assert sum("the optimizer takes" in line for line in bar.said) == told
