"""What the tests on a card share: how large they are, blocks to train on, and runs of the real loop.

With BERTINCHAMPS_GPU_REHEARSAL=1 the same code runs on a processor, tiny, treated as a device that works on while the
host goes on: so that no minute of a card is lost to a typing error. What only a card can answer is not asserted then.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bertinchamps.contract import Output, Task
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.tokenizer import Vocabulary
from bertinchamps.model.architecture import build_config
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.objectives import Given
from bertinchamps.objectives.masking import MaskSettings
from bertinchamps.objectives.mlm import MaskedLanguageModeling
from bertinchamps.schemas import BatchConfig, BudgetConfig, RuntimeConfig
from bertinchamps.training.clock import Clock, Spent
from bertinchamps.training.hook import Hook
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import Runtime, build_runtime
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import Update
from support import composed

REHEARSAL = os.environ.get("BERTINCHAMPS_GPU_REHEARSAL") == "1"
CARD = torch.cuda.is_available() and not REHEARSAL
DEVICE = torch.device("cuda" if CARD else "cpu")
NEEDS_A_CARD = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (CARD or REHEARSAL),
        reason="no CUDA device here; BERTINCHAMPS_GPU_REHEARSAL=1 runs this on the processor, tiny",
    ),
]
SPECIAL = 5  # ids below it


@dataclass(frozen=True)
class Sizes:
    """How large the tests are.

    Attributes:
        vocabulary: V.
        length: S, tokens a sequence.
        blocks: of the corpus.
        crammed: settings of the architecture itself.
        two_layers: the same with two layers, for what takes long to compile.
        narrow: of a model for what depends on no size.
        compared: sequences whose loss and gradients are compared.
        compiled: sequences of a compiled micro-batch.
        whole: sequences of the recipe's micro-batch.
        seconds: of the run whose end is timed.
    """

    vocabulary: int = 32768
    length: int = 128
    blocks: int = 4096
    crammed: list[str] = field(default_factory=lambda: ["arch=crammed"])
    two_layers: list[str] = field(default_factory=lambda: ["arch=crammed", "arch.num_hidden_layers=2"])
    narrow: list[str] = field(default_factory=lambda: ["arch=small", "arch.num_hidden_layers=2"])
    compared: int = 8
    compiled: int = 128
    whole: int = 128
    seconds: float = 5.0


TINY = ["arch=tiny", "arch.hidden_size=32", "arch.intermediate_size=64", "arch.num_attention_heads=2"]
SIZES = Sizes() if CARD else Sizes(64, 32, 400, [*TINY, "arch.num_hidden_layers=3"], TINY, TINY, 4, 4, 4, 1.0)
VOCABULARY = Vocabulary(
    SIZES.vocabulary, tuple(range(SPECIAL)), 4, 3, tuple(range(SIZES.vocabulary // 2, SIZES.vocabulary)), {}
)


def runtime_of(precision: str = "bf16", compiled: bool = False) -> Runtime:
    """As commands build it; a processor is treated as a card that works while nobody waits."""
    switch = "on" if compiled else "off"
    config = RuntimeConfig(device=DEVICE.type, precision=precision, compile=switch)
    return replace(build_runtime(config), asynchronous=True)


@functools.cache
def architecture(*overrides: str) -> dict[str, Any]:
    """A node of `configs/arch/` with changes."""
    return asdict(composed("data=demo", *overrides).arch)


def config_of(overrides: Sequence[str]) -> BertinchampsConfig:
    """Of such an architecture."""
    return build_config(architecture(*overrides), SIZES.vocabulary)


def model_of(overrides: Sequence[str]) -> BertinchampsForMaskedLM:
    """Its model on the host, with the same random weights each time."""
    torch.manual_seed(0)
    return BertinchampsForMaskedLM(config_of(overrides))


def task_of(corpus: Corpus, device: torch.device = DEVICE, **settings: Any) -> MaskedLanguageModeling:
    """Masked language modelling on a device."""
    return MaskedLanguageModeling(Given(corpus, 0, 8, device), masks=MaskSettings(**settings))


def trainer_of(
    task: Task,
    model: nn.Module,
    runtime: Runtime,
    batch: BatchConfig,
    budget: BudgetConfig,
    hooks: Sequence[Hook] = (),
    optim: str = "adamw",
    state: Mapping[str, Any] | None = None,
) -> Trainer:
    """The real loop at a constant rate.

    Args:
        task: to learn.
        model: on the device.
        runtime: device, precision and compilation.
        batch: micro-batch, size and ramp.
        budget: when it ends.
        hooks: of the loop.
        optim: name of the optimizer.
        state: of a run to go on with, as a checkpoint holds it.
    """
    state = state or {}
    spent = Spent(**state.get("spent", {}))
    return Trainer(
        task=task,
        model=model,
        optimizer=optimizers.build(optim, model=model, learning_rate=1e-3),
        schedule=lambda progress: 1.0,
        batch=batch,
        clock=Clock(budget, task.epoch_length(), 1.0, spent),
        runtime=runtime,
        seed=0,
        gradient_clipping=0.5,
        hooks=hooks,
        cursor=state.get("position", 0),
        scaling=state.get("scaling"),
    )


class Recorder(Hook):
    """Every update, as it was told."""

    def __init__(self) -> None:
        self.updates: list[Update] = []

    def observe(self, trainer: Trainer, update: Update) -> None:
        self.updates.append(update)

    def losses(self) -> np.ndarray[Any, Any]:
        return np.array([update.loss for update in self.updates])


@contextmanager
def refusing_to_wait() -> Iterator[None]:
    """Operations that synchronise with the card raise. Waiting for an event is none of them, so `settle` may."""
    if not CARD:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def refuse_to_wait_in_updates(trainer: Trainer, but_the_first: bool = False) -> None:
    """Let updates raise where they synchronise; all but the first, which may compile."""
    update = trainer._update

    def watched(*arguments: Any) -> bool:
        if but_the_first and trainer.step == 0:
            return update(*arguments)
        with refusing_to_wait():
            return update(*arguments)

    trainer._update = watched  # type: ignore[method-assign]


class Spoilt:
    """A task with a loss or a gradient that is not finite in the micro-batch at one position.

    Args:
        task: the one to spoil.
        position: of the micro-batch's first sequence.
        what: "loss", whose gradient stays finite, or "gradient", whose loss does.
    """

    def __init__(self, task: MaskedLanguageModeling, position: int, what: str) -> None:
        self._task, self._position, self._what = task, position, what

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        loss = self._task.loss(model, inputs).loss_sum
        here = inputs["positions"][0] == self._position
        if self._what == "loss":
            return Output(loss + torch.where(here, torch.inf, 0.0))
        nothing = 0.0 * next(model.parameters()).sum()
        return Output(loss + torch.where(here, nothing, nothing + 1).sqrt() - torch.where(here, 0.0, 1.0))
