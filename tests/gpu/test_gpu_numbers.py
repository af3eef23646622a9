"""A card computes what a processor computes: masks, order, loss, gradients."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from gpu_comparing import HOST, Answer, answer, compare, compare_masks, masking, taken_gradients, to_mask
from gpu_runs import DEVICE, NEEDS_A_CARD, SIZES, SPECIAL, Sizes, config_of, model_of, runtime_of, task_of
from torch import Tensor, nn

from bertinchamps.data.corpus import Corpus
from bertinchamps.model.heads.nested import SpanScorer
from bertinchamps.model.huggingface import BertinchampsModel

pytestmark = NEEDS_A_CARD


@pytest.mark.parametrize("spans", [False, True])
@pytest.mark.parametrize("whole_word", [False, True])
def test_masks_are_the_hosts_bit_for_bit(
    whole_word: bool, spans: bool, device: torch.device, corpus: Corpus
) -> None:
    on_host, on_device = (masking(place, whole_word, spans) for place in (HOST, device))
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


@pytest.fixture(scope="module")
def whole(corpus: Corpus) -> Any:
    """`crammed` on the host: model, a batch, and what float32 says of it."""
    model = model_of(SIZES.crammed)
    batch = next(task_of(corpus, HOST).batches(0, SIZES.compared))
    return model, batch, answer(task_of(corpus, HOST), model, batch, None)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_loss_and_gradients_of_crammed_are_the_hosts(precision: str, whole: Any, corpus: Corpus) -> None:
    model, batch, expected = whole
    runtime = runtime_of(precision)
    got = answer(task_of(corpus), model.to(DEVICE), batch, runtime)
    compare(expected, got, precision)
    assert got.loss != expected.loss or runtime.autocast_dtype is None  # it was that precision


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
    expected = answer(task_of(corpus, HOST), model, batch, None)
    got = answer(task_of(corpus), model.to(DEVICE), batch, runtime_of())
    compare(expected, got, "bf16")


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
        answers.append(Answer(float(loss.detach()), taken_gradients(model)))
    compare(*answers, precision)
