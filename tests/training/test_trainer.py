"""The loop: what an update is, and when it does not happen."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import pytest
import torch
import torch._dynamo
from torch import Tensor, nn

from bertinchamps.contract import Batch, Output
from bertinchamps.errors import UserError
from bertinchamps.schemas import BatchConfig, BudgetConfig, RuntimeConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.hook import Hook
from bertinchamps.training.optim import RATE_TIMES_WIDTH, optimizer_problems, optimizers
from bertinchamps.training.runtime import Runtime, build_runtime
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import NonFiniteLoss, Update

EAGER = build_runtime(RuntimeConfig(device="cpu", precision="fp32", compile="off", threads=1))


class Regression:
    """Squared error of a linear model; the number of targets differs between micro-batches."""

    name = "regression"
    predicted_fraction = 1.0

    def __init__(self, poisoned_step: int | None = None) -> None:
        self.poisoned_step = poisoned_step

    def epoch_length(self) -> int:
        return 100

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        cursor += rank * micro_batch
        while True:
            rows = torch.arange(cursor, cursor + micro_batch, dtype=torch.float32)
            x = torch.stack([torch.sin(rows * k) for k in (1.0, 2.0, 3.0)], dim=1)
            y = x.sum(1)
            if self.poisoned_step is not None and cursor >= self.poisoned_step:
                y = y * math.nan
            used = torch.arange(micro_batch) < max(1, (cursor // micro_batch) % 3 + 1)  # ragged targets
            after = cursor + micro_batch
            yield Batch({"x": x, "y": y, "used": used}, int(used.sum()), micro_batch, after)
            cursor += world_size * micro_batch

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        error = (model(inputs["x"]).squeeze(1) - inputs["y"]) ** 2
        return Output((error * inputs["used"]).sum())

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"loss": 0.0}


def trainer_of(
    task: Regression,
    size: int,
    steps: int,
    runtime: Runtime = EAGER,
    clipping: float | None = None,
    **more: object,
) -> Trainer:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    return Trainer(
        task=task,
        model=model,
        optimizer=optimizers.build("adamw", model=model, learning_rate=0.05),
        schedule=lambda p: 1.0,
        batch=BatchConfig(micro_batch=4, size=size, ramp=0.0),
        clock=Clock(BudgetConfig(steps=steps), 100, 1.0),
        runtime=runtime,
        seed=0,
        gradient_clipping=clipping,
        **more,  # type: ignore[arg-type]
    )


class Recorder(Hook):
    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.gradients: list[Tensor] = []

    def observe(self, trainer: Trainer, update: Update) -> None:
        self.updates.append(update)


def test_an_update_averages_over_all_its_targets_not_over_micro_batches() -> None:
    recorder = Recorder()
    trainer = trainer_of(Regression(), size=12, steps=1, hooks=[recorder])
    task = Regression()
    model = nn.Linear(3, 1)
    model.load_state_dict(trainer.model.state_dict())
    stream = task.batches(0, 4)
    batches = [next(stream) for _ in range(3)]
    assert len({batch.targets for batch in batches}) == 3  # otherwise this test could not fail
    total = torch.stack([task.loss(model, batch.inputs).loss_sum for batch in batches]).sum()
    (total / sum(batch.targets for batch in batches)).backward()
    expected_norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    trainer.fit()
    assert recorder.updates[0].gradient_norm == pytest.approx(float(expected_norm), rel=1e-5)
    assert recorder.updates[0].loss == pytest.approx(total.item() / 6, rel=1e-5)


def test_the_loss_falls_and_the_position_advances() -> None:
    recorder = Recorder()
    trainer = trainer_of(Regression(), size=8, steps=60, hooks=[recorder])
    trainer.fit()
    assert recorder.updates[-1].loss < recorder.updates[0].loss / 10
    assert trainer.cursor == 60 * 8
    assert [update.step for update in recorder.updates] == list(range(1, 61))


def test_gradients_are_clipped_to_the_norm() -> None:
    trainer = trainer_of(Regression(), size=4, steps=1, clipping=1e-6)
    seen: list[float] = []
    step = trainer.optimizer.step

    def spy() -> None:
        seen.append(float(torch.cat([p.grad.flatten() for p in trainer.model.parameters()]).norm()))
        step()

    trainer.optimizer.step = spy  # type: ignore[method-assign]
    trainer.fit()
    assert seen == [pytest.approx(1e-6, rel=1e-3)]


def test_a_non_finite_loss_stops_before_the_update() -> None:
    trainer = trainer_of(Regression(poisoned_step=20), size=4, steps=60)
    recorder = Recorder()
    trainer.hooks = [recorder]
    with pytest.raises(NonFiniteLoss, match="update 6"):
        trainer.fit()
    assert len(recorder.updates) == 5
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_an_update_that_runs_out_of_time_is_dropped_whole() -> None:
    trainer = trainer_of(Regression(), size=40, steps=1)
    seconds = iter([0.0] * 8 + [1e9] * 1000)  # time is up in the middle of the first update
    trainer.clock = Clock(BudgetConfig(hours=1), 100, 1.0, now=lambda: next(seconds))
    before = [p.clone() for p in trainer.model.parameters()]
    trainer.fit()
    assert trainer.step == 0
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))


def test_an_error_while_reading_ahead_reaches_the_caller() -> None:
    class Broken(Regression):
        def batches(
            self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1
        ) -> Iterator[Batch]:
            yield from (
                batch for _, batch in zip(range(3), super().batches(cursor, micro_batch), strict=False)
            )
            raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        trainer_of(Broken(), size=4, steps=60).fit()


def test_a_sweep_may_compile_more_variants_than_dynamo_keeps() -> None:
    def scaled(x: Tensor, factor: int) -> Tensor:
        return x * factor

    for factor in range(torch._dynamo.config.recompile_limit + 2):  # each job of a sweep builds its runtime
        build_runtime(RuntimeConfig(device="cpu", compile="off", threads=1))
        compiled = torch.compile(scaled, backend="eager", dynamic=False, fullgraph=True)
        assert compiled(torch.ones(1), factor).item() == factor


@pytest.mark.parametrize("name", optimizers.names())
def test_every_optimizer_decays_matrices_only_and_resumes(name: str) -> None:
    class Layered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(8, 4)
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.LayerNorm(4)])

        def forward(self, ids: Tensor) -> Tensor:
            hidden = self.embedding(ids)
            for layer in self.layers:
                hidden = layer(hidden)
            return hidden

    def trained(model: nn.Module, optimizer: object, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()  # type: ignore[attr-defined]
            model(torch.arange(8)).square().sum().backward()
            optimizer.step()  # type: ignore[attr-defined]

    torch.manual_seed(1)
    model = Layered()
    optimizer = optimizers.build(name, model=model)
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] > 0 for p in g["params"]}
    assert decayed == {id(p) for p in model.parameters() if p.ndim >= 2}
    trained(model, optimizer, 3)
    twin = Layered()
    twin.load_state_dict(model.state_dict())
    twin_optimizer = optimizers.build(name, model=twin)
    twin_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # as a file does: nothing shared
    trained(model, optimizer, 3)
    trained(twin, twin_optimizer, 3)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_rate_by_width_is_that_of_the_encoders_hidden_size(name: str) -> None:
    model = nn.Sequential(nn.Embedding(8, 4), nn.ModuleList([nn.Linear(4, 4)]))
    with pytest.raises(UserError, match="learning_rate=null: Sequential has no hidden size; give a rate"):
        optimizers.build(name, model=model, learning_rate=None)
    model[0].config = SimpleNamespace(hidden_size=256)
    optimizer = optimizers.build(name, model=model, learning_rate=None)
    assert optimizer.param_groups[-1]["base_lr"] == RATE_TIMES_WIDTH / 256
    assert optimizer_problems(name, {"learning_rate": None}) == []
    assert "matrix_learning_rate" in optimizer_problems("muon", {"matrix_learning_rate": None})[0]


def test_mistakes_in_an_optimizers_settings_are_named() -> None:
    assert optimizer_problems("adamw", {"betas": [0.9, 1.5]}) != []
    assert optimizer_problems("adamw", {"learning_rate": -1.0}) == [
        "optim.learning_rate=-1.0: must be a number above 0"
    ]
    for key, value in (("learning_rate", 0.0), ("matrix_learning_rate", 0), ("learning_rate", math.inf)):
        assert optimizer_problems("muon", {key: value}) == [f"optim.{key}={value}: must be a number above 0"]
    assert optimizer_problems("muon", {"weight_decay": -1}) == [
        "optim.weight_decay=-1: must be a number of at least 0"
    ]
    assert "it takes" in optimizer_problems("adamw", {"rate": 1.0})[0]
