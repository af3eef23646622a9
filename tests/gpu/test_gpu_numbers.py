"""A card computes what a processor computes: masks, order, loss, gradients."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from gpu_runs import (
    DEVICE,
    NEEDS_A_CARD,
    SIZES,
    SPECIAL,
    Sizes,
    compare_masks,
    config_of,
    masking,
    model_of,
    runtime_of,
    task_of,
    to_mask,
)
from torch import Tensor, nn

from bertinchamps.data.corpus import Corpus
from bertinchamps.model.huggingface import BertinchampsModel
from bertinchamps.model.nested import SpanScorer
from bertinchamps.training.runtime import Runtime

pytestmark = NEEDS_A_CARD

HOST = torch.device("cpu")
# Of the norm of the difference to that of the gradient, for each weight. Measured on a processor at `crammed`'s size:
# bfloat16 0.008, float16 with a scaled loss less. Sums of float32 in another order differ in the sixth digit.
# A wrong mask, position or scale makes differences of 1.
GRADIENTS_WITHIN = {"fp32": 1e-3, "bf16": 0.03, "fp16": 0.03}
LOSS_WITHIN = {"fp32": 1e-5, "bf16": 2e-3, "fp16": 2e-3}
LOSS_SCALE = 2.0**12


@pytest.mark.parametrize("whole_word", [False, True])
def test_masks_are_the_hosts_bit_for_bit(whole_word: bool, device: torch.device, corpus: Corpus) -> None:
    on_host, on_device = (masking(place, whole_word) for place in (HOST, device))
    ids, positions = to_mask(corpus)
    compare_masks(on_host(ids, positions), on_device(ids.to(device), positions.to(device)))


def test_blocks_come_in_the_same_order(device: torch.device, corpus: Corpus) -> None:
    runtime, task = runtime_of(), task_of(corpus)
    stream = runtime.feed(task.batches(40, 8), ahead=4)
    for expected, got in islice(zip(task.batches(40, 8), stream, strict=False), 6):
        for name, tensor in expected.inputs.items():
            assert got.inputs[name].device.type == device.type
            assert torch.equal(got.inputs[name].cpu(), tensor)
    stream.close()


def answer(
    task: Any, model: nn.Module, inputs: dict[str, Tensor], targets: int, runtime: Runtime | None
) -> Any:
    """Loss and gradients of one micro-batch, in float32 on the host; without a runtime plainly computed there."""
    loss_of = task.loss
    if runtime is None:
        loss = loss_of(model, inputs).loss_sum / targets
    else:
        inputs = {name: tensor.to(runtime.device) for name, tensor in inputs.items()}
        with runtime.arithmetic():
            loss = runtime.compile(loss_of)(model, inputs).loss_sum / targets
    scale = LOSS_SCALE if runtime is not None and runtime.autocast_dtype is torch.float16 else 1.0
    (loss * scale).backward()
    gradients = {name: p.grad.detach().cpu() / scale for name, p in model.named_parameters()}
    model.zero_grad()
    return float(loss.detach()), gradients


def compare(got: Any, expected: Any, precision: str) -> None:
    """Loss and gradients, within what the precision allows."""
    assert got[0] == pytest.approx(expected[0], rel=LOSS_WITHIN[precision])
    apart = {
        name: float((got[1][name] - gradient).norm() / gradient.norm().clamp(min=1e-12))
        for name, gradient in expected[1].items()
    }
    worst = max(apart, key=lambda name: apart[name])
    assert apart[worst] < GRADIENTS_WITHIN[precision], f"{worst}: {apart[worst]}"


@pytest.fixture(scope="module")
def whole(corpus: Corpus) -> Any:
    """`crammed` on the host: model, a batch, and what float32 says of it."""
    model = model_of(SIZES.crammed)
    batch = next(task_of(corpus, HOST).batches(0, SIZES.compared))
    return model, batch, answer(task_of(corpus, HOST), model, dict(batch.inputs), batch.targets, None)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_loss_and_gradients_of_crammed_are_the_hosts(precision: str, whole: Any, corpus: Corpus) -> None:
    model, batch, expected = whole
    runtime = runtime_of(precision)
    got = answer(task_of(corpus), model.to(DEVICE), batch.inputs, batch.targets, runtime)
    compare(got, expected, precision)
    assert got[0] != expected[0] or runtime.autocast_dtype is None  # it was that precision


@pytest.mark.parametrize(
    "variant", ["arch=modern", "arch=bert_base", "+ablation=rmsnorm", "arch.query_key_norm=true"]
)
def test_other_architectures_too(variant: str, sizes: Sizes, corpus: Corpus) -> None:
    shape = [setting for setting in sizes.narrow if not setting.startswith("arch=")]
    shape += (
        [] if variant.startswith("arch=") else [setting for setting in sizes.narrow if setting not in shape]
    )
    model = model_of([variant, *shape])
    batch = next(task_of(corpus, HOST).batches(0, sizes.compared))
    expected = answer(task_of(corpus, HOST), model, dict(batch.inputs), batch.targets, None)
    got = answer(task_of(corpus), model.to(DEVICE), dict(batch.inputs), batch.targets, runtime_of())
    compare(got, expected, "bf16")


class Spans(nn.Module):
    """An encoder under a nested head, which reads padded texts."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.encoder = BertinchampsModel(config_of(sizes.narrow))
        self.head = SpanScorer(self.encoder.config.hidden_size, 3, dropout=0.0)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        scores: Tensor = self.head(self.encoder(ids, mask).last_hidden_state)
        real = mask[:, :, None, None] * mask[:, None, :, None]
        return (scores * real).square().sum() / real.sum()


@pytest.mark.parametrize("longest", [12, 20, 28])  # fine-tuning's lengths are multiples of four, not of eight
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_padded_texts_under_a_nested_head(
    precision: str, longest: int, sizes: Sizes, device: torch.device
) -> None:
    model = Spans(sizes)
    ids = torch.randint(SPECIAL, sizes.vocabulary, (4, longest))
    mask = (torch.arange(longest) < torch.tensor([longest, longest - 3, 5, 1])[:, None]).long()
    answers = []
    for place in (HOST, device):
        model.to(place)
        with runtime_of(precision).arithmetic() if place is device else torch.enable_grad():
            loss = model(ids.to(place), mask.to(place))
        loss.backward()
        answers.append((float(loss.detach()), {name: p.grad.cpu() for name, p in model.named_parameters()}))
        model.zero_grad()
    compare(answers[1], answers[0], precision)
