"""Updates on a card: none waits, what is not finite is left out, and a run goes on as if it had not stopped."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpu_runs import (
    CARD,
    DEVICE,
    NEEDS_A_CARD,
    Recorder,
    Sizes,
    Spoilt,
    model_of,
    refuse_to_wait_in_updates,
    refusing_to_wait,
    runtime_of,
    task_of,
    trainer_of,
)
from torch import Tensor

from bertinchamps import manifests
from bertinchamps.data.corpus import Corpus
from bertinchamps.model.heads.masked_lm import load_masked_lm
from bertinchamps.schemas import BatchConfig, BudgetConfig
from bertinchamps.training import checkpoint
from bertinchamps.training.hook import Hook
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import NonFiniteLoss

pytestmark = NEEDS_A_CARD

BATCH = BatchConfig(micro_batch=4, size=8, ramp=0.0)


def test_reading_a_number_of_the_card_raises_where_waiting_is_refused(device: torch.device) -> None:
    number = torch.ones((), device=device)
    with refusing_to_wait():
        if CARD:
            with pytest.raises(RuntimeError, match="synchroniz"):
                float(number)
        event = runtime_of().fetch(number[None])
        assert event() == [1.0]  # for which `settle` waits, and may


@pytest.mark.parametrize(
    ("precision", "optim"), [("bf16", "adamw"), ("bf16", "muon"), ("fp16", "adamw"), ("fp16", "muon")]
)
def test_updates_wait_for_nothing(precision: str, optim: str, sizes: Sizes, corpus: Corpus) -> None:
    recorder = Recorder()
    trainer = trainer_of(
        task_of(corpus), model_of(sizes.narrow).to(DEVICE), runtime_of(precision), BatchConfig(4, 16, 1.0),
        BudgetConfig(steps=8), [recorder], optim,
    )  # fmt: skip
    refuse_to_wait_in_updates(trainer)
    trainer.fit()
    assert [update.step for update in recorder.updates] == list(range(1, 9))
    assert np.isfinite(recorder.losses()).all()


class Snapshots(Hook):
    """Weights and optimizer state after each update."""

    def __init__(self) -> None:
        self.after: dict[int, list[Tensor]] = {}

    def after_update(self, trainer: Trainer) -> None:
        self.after[trainer.step] = [tensor.clone() for tensor in tensors_of(trainer)]


def tensors_of(trainer: Trainer) -> list[Tensor]:
    """All that a step changes."""
    state = trainer.optimizer.state_dict()
    parts = [state] if "state" in state else list(state.values())
    entries = itertools.chain.from_iterable(part["state"].values() for part in parts)
    return [
        *(p.detach() for p in trainer.model.parameters()),
        *(value for entry in entries for value in entry.values()),
    ]


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_a_step_that_is_not_finite_is_left_out_and_reported(
    optim: str, what: str, sizes: Sizes, corpus: Corpus
) -> None:
    snapshots = Snapshots()
    task = Spoilt(task_of(corpus), position=3 * BATCH.size, what=what)
    trainer = trainer_of(
        task,
        model_of(sizes.narrow).to(DEVICE),
        runtime_of(),
        BATCH,
        BudgetConfig(steps=20),
        [snapshots],
        optim,
    )
    refuse_to_wait_in_updates(trainer)
    with pytest.raises(NonFiniteLoss, match="update 4"):
        trainer.fit()
    assert (trainer.step, trainer.cursor) == (3, 3 * BATCH.size)
    changed = [
        not torch.equal(now, then) for now, then in zip(tensors_of(trainer), snapshots.after[3], strict=True)
    ]
    assert not any(changed)
    assert any(
        not torch.equal(now, then) for now, then in zip(snapshots.after[3], snapshots.after[2], strict=True)
    )


def test_an_overflow_of_fp16_is_left_out_and_the_scale_halved(sizes: Sizes, corpus: Corpus) -> None:
    recorder, snapshots = Recorder(), Snapshots()
    large = torch.amp.GradScaler(DEVICE.type, init_scale=2.0**40).state_dict()
    trainer = trainer_of(
        task_of(corpus), model_of(sizes.narrow).to(DEVICE), runtime_of("fp16"), BATCH, BudgetConfig(steps=32),
        [recorder, snapshots], state={"scaling": large},
    )  # fmt: skip
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    trainer.fit()
    overflows = [not np.isfinite(update.gradient_norm) for update in recorder.updates]
    left_out = overflows.index(False)  # of so many updates
    assert left_out > 3
    assert trainer.state()["scaling"]["scale"] == 2.0 ** (40 - sum(overflows))
    weights = snapshots.after[left_out][: len(before)]
    assert all(torch.equal(now, then) for now, then in zip(weights, before, strict=True))
    assert recorder.updates[-1].loss < recorder.updates[0].loss


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_learn_what_float32_learns(precision: str, sizes: Sizes, corpus: Corpus) -> None:
    losses = {}
    for name in ("fp32", precision):
        recorder = Recorder()
        trainer_of(
            task_of(corpus),
            model_of(sizes.narrow).to(DEVICE),
            runtime_of(name),
            BATCH,
            BudgetConfig(steps=12),
            [recorder],
        ).fit()
        losses[name] = recorder.losses()
    np.testing.assert_allclose(losses[precision], losses["fp32"], rtol=0.05)
    assert losses["fp32"][-1] < 0.95 * losses["fp32"][0]


@contextmanager
def in_one_order() -> Iterator[None]:
    """Sums in one order, which PyTorch has for all that an update of ours does."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def six_updates(
    runtime: Runtime, optim: str, sizes: Sizes, corpus: Corpus, folder: Path | None
) -> tuple[np.ndarray[Any, Any], list[Tensor]]:
    """Losses of a run, and all that it has changed; with a folder, through a checkpoint there after three updates."""
    recorder, model, state, optimizer = Recorder(), model_of(sizes.narrow), None, None
    for steps in (6,) if folder is None else (3, 6):
        trainer = trainer_of(
            task_of(corpus),
            model.to(DEVICE),
            runtime,
            BATCH,
            BudgetConfig(steps=steps),
            [recorder],
            optim,
            state,
        )
        if optimizer is not None:
            trainer.optimizer.load_state_dict(optimizer)
        trainer.fit()
        if folder is not None and steps == 3:
            checkpoint.write(folder, model.save_pretrained, trainer.optimizer.state_dict(), trainer.state())
            assert manifests.problems(folder) == []
            model, state = load_masked_lm(folder), checkpoint.read_state(folder)
            optimizer = checkpoint.read_optimizer(folder)
    return recorder.losses(), [tensor.cpu() for tensor in tensors_of(trainer)]


@pytest.mark.parametrize(("precision", "optim"), [("bf16", "adamw"), ("bf16", "muon"), ("fp16", "adamw")])
def test_resuming_is_going_on_bit_for_bit_where_sums_have_one_order(
    precision: str, optim: str, sizes: Sizes, corpus: Corpus, tmp_path: Path
) -> None:
    runtime = runtime_of(precision)
    with in_one_order():
        whole, resumed = (
            six_updates(runtime, optim, sizes, corpus, folder)
            for folder in (None, tmp_path / "step-00000003")
        )
    assert whole[0].tolist() == resumed[0].tolist()
    assert all(torch.equal(mine, other) for mine, other in zip(whole[1], resumed[1], strict=True))


def test_resuming_is_nearly_going_on_where_a_card_adds_in_an_order_of_its_own(
    sizes: Sizes, corpus: Corpus, tmp_path: Path
) -> None:
    runtime = runtime_of()
    whole, resumed = (
        six_updates(runtime, "adamw", sizes, corpus, folder) for folder in (None, tmp_path / "step-00000003")
    )
    np.testing.assert_allclose(resumed[0], whole[0], rtol=2e-3)
