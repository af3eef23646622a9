"""Run by torchrun: the loop with a toy task and clocks that disagree; each process writes down what it did."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bertinchamps.contract import Batch, Output
from bertinchamps.schemas import BatchConfig, BudgetConfig, RuntimeConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.distributed import Processes, join, leave
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import build_runtime
from bertinchamps.training.trainer import Trainer

MICRO_BATCHES = 20  # an update
BEFORE_IT_HAPPENS = 2 * MICRO_BATCHES + 4  # micro-batches of a process before the odd thing of a scenario


class Toy:
    """A regression whose micro-batches have unequal numbers of targets; something happens after some of them."""

    name, predicted_fraction = "toy", 1.0

    def __init__(self, happens: Callable[[], None]) -> None:
        self.done, self._happens = 0, happens

    def epoch_length(self) -> int:
        return 100

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        cursor += rank * micro_batch
        while True:
            rows = torch.arange(cursor, cursor + micro_batch, dtype=torch.float32)
            used = torch.arange(micro_batch) < (cursor // micro_batch) % 3 + 1
            inputs = {"x": torch.stack([torch.sin(rows * k) for k in (1.0, 2.0, 3.0)], 1), "used": used}
            yield Batch(inputs, int(used.sum()), micro_batch, cursor + micro_batch)
            cursor += world_size * micro_batch

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        self.done += 1
        if self.done == BEFORE_IT_HAPPENS // join().world_size:
            self._happens()
        error = (model(inputs["x"]).squeeze(1) - inputs["x"].sum(1)) ** 2
        return Output((error * inputs["used"]).sum())

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"loss": 0.0}


def trained(processes: Processes, scenario: str) -> dict[str, Any]:
    """Train until the scenario ends it; what this process did."""
    rank, last = processes.rank, processes.world_size - 1
    now, late = [1000.0 * rank], [0.0]
    large = [0]

    def tick() -> float:
        now[0] += 1.0 + 0.3 * rank  # clocks that differ in the time they show, and in their pace
        return now[0] + late[0]

    def happens() -> None:
        if scenario == "time is up for the last process" and rank == last:
            late[0] = 1e9
        if scenario == "the last process is told to stop" and rank == last:
            trainer.stop_requested = True

    def counted(tensor: Tensor, *arguments: Any, **more: Any) -> Any:
        large[0] += tensor.numel() > 100
        return all_reduce(tensor, *arguments, **more)

    torch.manual_seed(rank)  # the first process' weights are to count
    model = nn.Sequential(nn.Linear(3, 64), nn.Dropout(0.1), nn.Linear(64, 1))
    task = Toy(happens)
    trainer = Trainer(
        task=task,
        model=model,
        optimizer=optimizers.build("adamw", model=model, learning_rate=0.01),
        schedule=lambda progress: 1.0 - progress / 2,
        batch=BatchConfig(micro_batch=4, size=4 * MICRO_BATCHES, ramp=0.0),
        clock=Clock(BudgetConfig(hours=100 / 3600), 100, 1.0, now=tick),
        runtime=build_runtime(RuntimeConfig(device="cpu", precision="fp32", compile="off", threads=1)),
        seed=0,
        gradient_clipping=1.0,
        processes=processes,
    )
    all_reduce, dist.all_reduce = dist.all_reduce, counted
    trainer.fit()
    dist.all_reduce = all_reduce
    weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    return {
        "steps": trainer.step,
        "position": trainer.cursor,
        "weights": hashlib.sha256(weights).hexdigest(),
        "micro_batches": task.done,
        "large_messages": large[0],
        "stop_requested": trainer.stop_requested,
    }


def main() -> None:
    processes = join()
    told = {scenario: trained(processes, scenario) for scenario in sys.argv[2:]}
    Path(sys.argv[1], f"{processes.rank}.json").write_text(json.dumps(told), encoding="utf-8")
    leave()


if __name__ == "__main__":
    main()
