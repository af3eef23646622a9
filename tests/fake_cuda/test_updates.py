"""Pretraining on a card: every tensor is there, and the host waits for nothing within an update."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fake_card import CARD, Watch, waits_of_updates

from bertinchamps.composing import config_dir
from bertinchamps.model.positions import POSITIONS
from bertinchamps.training.trainer import Trainer


def choices(group: str, flag: str = "") -> list[str]:
    return sorted(f"{flag}{group}={file.stem}" for file in (config_dir() / group).glob("*.yaml"))


VARIANTS = [
    *choices("arch"),
    *choices("ablation", "+"),
    *choices("experiment"),
    *(name for name in choices("objective") if name != "objective=distillation"),  # which needs a teacher
    *(f"arch.positions={name}" for name in POSITIONS.names()),
    "arch.query_key_norm=true",
    "runtime.activation_checkpointing=true",
]


def check(trainer: Trainer, card: Watch) -> None:
    """Train, and look at where everything is, and at what was waited for."""
    waits = waits_of_updates(trainer, card)
    trainer.fit()
    assert trainer.step == 2
    assert waits == []
    assert card.event_waits == 2  # for the numbers of each update, when the next one is on its way
    state = trainer.optimizer.state_dict()
    parts = [state] if "state" in state else list(state.values())
    kept = [value for part in parts for entry in part["state"].values() for value in entry.values()]
    assert len(kept) > 10
    for tensor in (*trainer.model.parameters(), *kept):
        assert tensor.device.type == "cuda"
        assert tensor.dtype is torch.float32


@pytest.mark.parametrize("variant", VARIANTS)
def test_updates_are_on_the_card_and_wait_for_nothing(
    variant: str, pretraining: Callable[..., Trainer], card: Watch
) -> None:
    check(pretraining(variant), card)


@pytest.mark.parametrize("optim", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_in_other_precisions_too(
    precision: str, optim: str, pretraining: Callable[..., Trainer], card: Watch
) -> None:
    check(pretraining(f"optim={optim}", "batch.ramp=0", precision=precision), card)


def test_the_device_is_described_and_its_rate_known(pretraining: Callable[..., Trainer]) -> None:
    runtime = pretraining().runtime
    assert runtime.describe() == f"{CARD}, bfloat16, not compiled"
    assert (runtime.peak_flops, runtime.peak_origin) == (989e12, "data sheet")


def test_an_evaluation_reads_its_scores_and_nothing_else(
    pretraining: Callable[..., Trainer], card: Watch
) -> None:
    trainer = pretraining()
    card.waits.clear()
    assert set(trainer.evaluate()) == {"loss", "accuracy"}
    assert {wait.where for wait in card.waits} == {"mlm.py:_held_out_sums", "mlm.py:of_blocks"}


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_a_state_of_the_host_goes_on_on_the_card(
    optim: str, pretraining: Callable[..., Trainer], card: Watch
) -> None:
    """As `resume` reads it from a checkpoint: steps of the fused optimizer are numbers on the device."""
    first = pretraining(f"optim={optim}")
    first.fit()
    state = torch.utils._pytree.tree_map_only(
        torch.Tensor, lambda tensor: tensor.cpu(), first.optimizer.state_dict()
    )
    second = pretraining(f"optim={optim}")
    second.optimizer.load_state_dict(state)
    card.event_waits = 0
    check(second, card)
