"""Steps that are left out, scaled losses, and numbers of a device that is not waited for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_trainer import EAGER, Recorder, Regression, trainer_of
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bertinchamps.contract import Output
from bertinchamps.schemas import BatchConfig, BudgetConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.guarded_step import GuardedStep
from bertinchamps.training.hook import Hook
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import NonFiniteLoss, Update

AHEAD = replace(EAGER, asynchronous=True)  # a CPU, treated as a device that works on while nobody waits
FP16 = replace(EAGER, autocast_dtype=torch.float16, fast_linear_maps=False)


class Reads(TorchDispatchMode):
    """Counts how often a number is read from a tensor, which on a GPU waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


class Told(Hook):
    """Which updates were done, and which known, in which order."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def after_update(self, trainer: Trainer) -> None:
        self.order.append(f"done {trainer.step}")

    def observe(self, trainer: Trainer, update: Update) -> None:
        assert update.step == update.spent.steps
        self.order.append(f"known {update.step}")


def losses(runtime: Runtime, **more: object) -> list[float]:
    recorder = Recorder()
    trainer_of(Regression(), size=8, steps=30, runtime=runtime, clipping=1.0, hooks=[recorder], **more).fit()
    return [update.loss for update in recorder.updates]


def test_not_waiting_changes_no_number() -> None:
    assert losses(AHEAD) == losses(EAGER)


def test_numbers_are_told_at_once_or_one_update_later() -> None:
    orders = []
    for runtime in (EAGER, AHEAD):
        told = Told()
        trainer_of(Regression(), size=4, steps=3, runtime=runtime, hooks=[told]).fit()
        orders.append(told.order)
    assert orders[0] == ["known 1", "done 1", "known 2", "done 2", "known 3", "done 3"]
    assert orders[1] == ["done 1", "known 1", "done 2", "known 2", "done 3", "known 3"]


def test_an_update_of_a_device_reads_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is read through `fetch`, which waits for the update before alone."""
    monkeypatch.setattr(Runtime, "fetch", lambda self, numbers: lambda: [0.0, 0.0])

    class Nosy(Regression):
        def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
            output = super().loss(model, inputs)
            float(output.loss_sum.detach())
            return output

    counts = {}
    for task in (Regression(), Nosy()):
        trainer = trainer_of(task, size=8, steps=5, runtime=AHEAD, clipping=1.0)
        with Reads() as reads:
            trainer.fit()
        counts[type(task).__name__] = reads.count
    assert counts["Nosy"] >= 5  # otherwise this test could not fail
    assert counts["Regression"] == 0


def test_after_a_loss_that_is_not_finite_a_device_changes_no_weight() -> None:
    """The host hears of it an update later; the run is then where it was before the bad update."""
    told = Told()
    trainer = trainer_of(Regression(poisoned_step=20), size=4, steps=60, runtime=AHEAD, hooks=[told])
    good = trainer_of(Regression(), size=4, steps=5, runtime=AHEAD)
    good.fit()
    with pytest.raises(NonFiniteLoss, match="update 6"):
        trainer.fit()
    assert "known 5" in told.order
    assert "known 6" not in told.order
    assert (trainer.step, trainer.cursor, trainer.clock.spent.tokens) == (5, 20, 20)
    for mine, theirs in zip(trainer.model.parameters(), good.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert trainer.state()["spent"]["steps"] == 5


class Offset(Regression):
    """The loss of one update is infinite, and its gradient is not."""

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        spoilt = inputs["x"].sum() == self.batch_sum
        return Output(super().loss(model, inputs).loss_sum + torch.where(spoilt, math.inf, 0.0))

    def __init__(self, position: int) -> None:
        super().__init__()
        self.batch_sum = next(self.batches(position, 4)).inputs["x"].sum()


@pytest.mark.parametrize("runtime", [EAGER, AHEAD])
def test_a_loss_that_is_not_finite_is_enough_for_no_weight_to_change(runtime: Runtime) -> None:
    trainer = trainer_of(Offset(position=20), size=4, steps=60, runtime=runtime)
    good = trainer_of(Regression(), size=4, steps=5, runtime=runtime)
    good.fit()
    with pytest.raises(NonFiniteLoss, match="update 6: the loss is inf"):
        trainer.fit()
    for mine, theirs in zip(trainer.model.parameters(), good.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_whoever_asks_for_the_state_gets_a_settled_one() -> None:
    class Asking(Told):
        def after_update(self, trainer: Trainer) -> None:
            super().after_update(trainer)
            trainer.state()
            self.order.append("asked")

    told = Asking()
    trainer_of(Regression(), size=4, steps=2, runtime=AHEAD, hooks=[told]).fit()
    assert told.order == ["done 1", "known 1", "asked", "done 2", "known 2", "asked"]


def test_fp16_learns_what_float32_learns() -> None:
    gentle = torch.amp.GradScaler("cpu", init_scale=64.0).state_dict()  # no overflow
    half, full = losses(FP16, scaling=gentle), losses(EAGER)
    assert half != full  # it was fp16
    assert half[-1] == pytest.approx(full[-1], rel=0.05)


class Overflowing(nn.Module):
    """A parameter whose gradient is as large as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


def stepping_of(model: nn.Module, scaling: dict[str, Any] | None = None) -> tuple[GuardedStep, Any]:
    optimizer = optimizers.build("adamw", model=model, learning_rate=0.1)
    return GuardedStep(optimizer, FP16, None, scaling), optimizer


def step(stepping: GuardedStep, optimizer: Any, model: Overflowing, gradient: float) -> Tensor:
    stepping.scaled((model.weight * gradient).sum()).backward()
    norm = stepping.clip(model.parameters())
    stepping.step(norm)
    optimizer.zero_grad()
    return norm


def test_an_overflow_of_fp16_leaves_the_step_out_and_halves_the_scale() -> None:
    model = Overflowing()
    stepping, optimizer = stepping_of(model)
    before = stepping.state()
    assert before is not None
    norm = step(stepping, optimizer, model, math.inf)
    assert not norm.isfinite()
    assert model.weight.item() == 1.0
    after = stepping.state()
    assert after is not None
    assert after["scale"] == before["scale"] / 2
    assert stepping.forgives()
    norm = step(stepping, optimizer, model, 0.5)
    assert norm.item() == pytest.approx(0.5)  # scaled back
    assert model.weight.item() < 1.0


def test_a_scale_that_has_nowhere_to_go_is_no_longer_forgiven() -> None:
    model = Overflowing()
    stepping, optimizer = stepping_of(model)
    for _ in range(17):  # from 2^16 to below 1
        step(stepping, optimizer, model, math.inf)
    assert not stepping.forgives()


def test_the_scale_goes_on_where_it_was() -> None:
    model = Overflowing()
    stepping, optimizer = stepping_of(model)
    step(stepping, optimizer, model, math.inf)
    resumed, _ = stepping_of(model, stepping.state())
    assert resumed.state() == stepping.state()


def test_a_run_in_fp16_survives_an_overflow_and_stops_where_nothing_else_comes() -> None:
    recorder = Recorder()
    trainer = trainer_of(Regression(), size=4, steps=4, runtime=FP16, hooks=[recorder])
    trainer._guarded_step._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    trainer.fit()
    assert [math.isfinite(update.gradient_norm) for update in recorder.updates] == [False] * 4
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())
    poisoned = trainer_of(Regression(poisoned_step=0), size=4, steps=60, runtime=FP16)
    with pytest.raises(NonFiniteLoss, match="update 17"):
        poisoned.fit()


class Layered(nn.Module):
    """A linear map in a list of layers, and one that is in none."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3)])
        self.last = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(self.layers[0](x))
        return answer


def muon_trainer(task: Regression, steps: int, runtime: Runtime = AHEAD) -> Trainer:
    torch.manual_seed(0)
    model = Layered()
    clock = Clock(BudgetConfig(steps=steps), 100, 1.0)
    optimizer = optimizers.build("muon", model=model, learning_rate=0.05)
    return Trainer(task, model, optimizer, lambda p: 1.0, BatchConfig(4, 4, 0.0), clock, runtime, 0, 1.0)


def test_muon_too_leaves_a_step_out_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, good = muon_trainer(Regression(poisoned_step=20), 60), muon_trainer(Regression(), 5)
    good.fit()
    with pytest.raises(NonFiniteLoss, match="update 6"):
        trainer.fit()
    for mine, theirs in zip(trainer.model.parameters(), good.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(momenta(trainer), momenta(good), strict=True):
        assert torch.equal(mine, theirs)
    monkeypatch.setattr(Runtime, "fetch", lambda self, numbers: lambda: [0.0, 0.0])
    with Reads() as reads:
        muon_trainer(Regression(), 5).fit()
    assert reads.count == 0


def momenta(trainer: Trainer) -> list[Tensor]:
    """Of Muon's part."""
    return [state["momentum_buffer"] for state in trainer.optimizer.state_dict()["0"]["state"].values()]


def test_muon_in_fp16_leaves_an_overflow_out() -> None:
    trainer = muon_trainer(Regression(), 4, replace(FP16, asynchronous=True))
    trainer._guarded_step._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    trainer.fit()
    assert all(torch.equal(mine, old) for mine, old in zip(trainer.model.parameters(), before, strict=True))


class Machine:
    """A host, and a device that takes ten seconds for an update: in simulated time, both of them."""

    def __init__(self) -> None:
        self.now = self.device_free = 0.0

    def fetch(self, runtime: Runtime, numbers: Tensor) -> Any:
        self.device_free = done = max(self.device_free, self.now) + 10.0

        def wait() -> list[float]:
            self.now = max(self.now, done)
            known: list[float] = numbers.tolist()
            return known

        return wait


@pytest.mark.parametrize("runtime", [EAGER, AHEAD])
def test_a_budget_in_hours_holds_the_update_that_is_still_on_the_device(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, recorder = Machine(), Recorder()
    monkeypatch.setattr(Runtime, "fetch", lambda self, numbers: machine.fetch(self, numbers))
    monkeypatch.setattr("time.perf_counter", lambda: machine.now)
    trainer = trainer_of(Regression(), size=4, steps=100, runtime=runtime, hooks=[recorder])
    trainer.clock = Clock(BudgetConfig(hours=95.5 / 3600), 100, 1.0, now=lambda: machine.now)
    trainer.fit()
    assert machine.now == 90.0
    assert [update.seconds for update in recorder.updates] == [10.0] * 9
