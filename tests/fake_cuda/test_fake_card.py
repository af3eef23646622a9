"""The card that is not there catches what a real one would punish, and lets pass what is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from fake_card import CUDA, Watch, _backward, waits_of_updates
from torch import Tensor, nn

from bertinchamps.contract import Output
from bertinchamps.model import attention, layers
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.objectives.mlm import MaskedLanguageModeling
from bertinchamps.training.trainer import Trainer


def test_a_tensor_on_the_wrong_device_fails(
    pretraining: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def misplaced(hidden: Tensor, positions: Tensor) -> Tensor:
        batch, length, size = hidden.shape
        rows = torch.arange(batch)[:, None] * length  # `positions.at`, but on the host
        return hidden.flatten(0, 1).index_select(0, (rows + positions).flatten()).view(batch, -1, size)

    for module in (attention, layers):
        monkeypatch.setattr(module, "at", misplaced)
    trainer = pretraining()
    with pytest.raises(RuntimeError, match="device"):
        trainer.fit()


MISTAKES: dict[str, Callable[[Tensor], Any]] = {
    "a number of the device is read": lambda loss: float(loss),
    "a mask as an index": lambda loss: loss[None][loss[None] > 0],
    "indices on the host": lambda loss: loss[None][torch.tensor([0])],
    "a copy to the host": lambda loss: loss.cpu(),
    "a copy from the host": lambda loss: torch.tensor([1.0, 2.0], device=loss.device),
    "a copy from memory that is not pinned": lambda loss: torch.ones(2).to(loss.device, non_blocking=True),
    "all work of the device": lambda loss: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("why", MISTAKES)
def test_what_waits_within_an_update_is_noted(
    why: str, pretraining: Callable[..., Trainer], card: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss_of = MaskedLanguageModeling.loss

    def loss(self: MaskedLanguageModeling, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        output = loss_of(self, model, inputs)
        MISTAKES[why](output.loss_sum.detach())
        return output

    monkeypatch.setattr(MaskedLanguageModeling, "loss", loss)
    trainer = pretraining(steps=1)
    waits = waits_of_updates(trainer, card)
    trainer.fit()
    assert len(waits) == 1
    assert why in waits[0].why
    assert waits[0].where == "trainer.py:loss_sum"


def test_what_does_not_wait_is_not_noted(card: Watch) -> None:
    pinned = torch.arange(6.0).pin_memory().to(CUDA, non_blocking=True)
    chosen = torch.where(pinned > 2, pinned, 0.0).index_select(0, torch.arange(3, device=CUDA))
    chosen[torch.zeros(2, dtype=torch.int64, device=CUDA)] += 1
    chosen.sum().to("cpu", non_blocking=True)
    assert card.waits == []


def test_the_hosts_own_work_is_real(card: Watch) -> None:
    assert torch.arange(4).sum().item() == 6
    assert torch.ones(2).numpy().tolist() == [1.0, 1.0]
    assert torch.tensor([0, 3, 0]).nonzero().tolist() == [[1]]
    assert card.waits == []


def test_products_are_in_the_type_of_autocast(card: Watch) -> None:
    weight = torch.ones(4, 4, device=CUDA)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cuda", dtype=dtype):
            assert (weight @ weight).dtype is dtype
    assert (weight @ weight).dtype is torch.float32


def test_gradients_are_those_of_autograds_engine() -> None:
    """The engine does not work on such tensors; what stands for it is compared on a processor."""
    torch.manual_seed(0)
    config = BertinchampsConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    model = BertinchampsForMaskedLM(config)
    ids, positions = torch.randint(32, (3, 8)), torch.tensor([[1, 4]] * 3)
    gradients = []
    for backward in (torch.autograd.backward, _backward):
        for _ in range(2):  # the second is added to the first
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model.masked_logits(ids, positions).float().logsumexp(-1).sum()
            backward(loss)
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
        model.zero_grad()
    for expected, got in zip(*gradients, strict=True):
        assert torch.equal(got, expected)
