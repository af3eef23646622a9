"""What a device computes beside what the host computes in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from gpu_runs import SIZES, SPECIAL, VOCABULARY
from torch import Tensor, nn

from bertinchamps.contract import Batch, Task
from bertinchamps.data.corpus import Corpus
from bertinchamps.objectives.masking import Masking, geometric
from bertinchamps.training.runtime import Runtime

HOST = torch.device("cpu")
# Of the norm of the difference to that of the gradient, for each weight. Measured on a processor at `crammed`'s size:
# bfloat16 0.008, float16 with a scaled loss less. Sums of float32 in another order differ in the sixth digit.
# A wrong mask, position or scale makes differences of 1.
GRADIENTS_WITHIN = {"fp32": 1e-3, "bf16": 0.03, "fp16": 0.03}
LOSS_WITHIN = {"fp32": 1e-5, "bf16": 2e-3, "fp16": 2e-3}
LOSS_SCALE = 2.0**12


def masking(device: torch.device, whole_word: bool, spans: bool) -> Masking:
    """Of 15 % of the tokens."""
    lengths = geometric(3.8, 10) if spans else None
    return Masking(
        VOCABULARY, 7, SIZES.length, 0.15, whole_word=whole_word, device=device, span_lengths=lengths
    )


def to_mask(corpus: Corpus) -> tuple[Tensor, Tensor]:
    """Ids [64, S] and positions [64] on the host, the odd cases among them."""
    ids = torch.from_numpy(corpus.train.read(np.arange(64)).astype(np.int64))
    ids[0] = SPECIAL - 1  # nothing to mask
    ids[1, 3:] = SPECIAL - 1  # less than there should be
    ids[2] = SIZES.vocabulary - 1  # one word, which must be broken
    return ids, torch.arange(64) * 10**10


def compare_masks(expected: Sequence[Tensor], got: Sequence[Tensor]) -> None:
    """Masks of the host and of the device, bit for bit."""
    for name, mine, theirs in zip(("ids", "positions", "labels"), expected, got, strict=True):
        assert torch.equal(mine, theirs.cpu()), name


class Answer(NamedTuple):
    """What a model says of a batch.

    Attributes:
        loss: mean, in nats.
        gradients: of each weight, on the host.
    """

    loss: float
    gradients: dict[str, Tensor]


def answer(task: Task, model: nn.Module, batch: Batch, runtime: Runtime | None) -> Answer:
    """Of a micro-batch on the host, computed where the model is: as the runtime does it, or plainly without one."""
    scale = 1.0
    if runtime is None:
        loss = task.loss(model, batch.inputs).loss_sum / batch.targets
    else:
        inputs = {name: tensor.to(runtime.device) for name, tensor in batch.inputs.items()}
        with runtime.arithmetic():
            loss = runtime.compile(task.loss)(model, inputs).loss_sum / batch.targets
        scale = LOSS_SCALE if runtime.autocast_dtype is torch.float16 else 1.0
    (loss * scale).backward()
    return Answer(float(loss.detach()), taken_gradients(model, scale))


def taken_gradients(model: nn.Module, scale: float = 1.0) -> dict[str, Tensor]:
    """The gradients of a model, which has none after that, on the host and divided by a scale."""
    gradients = {name: p.grad.cpu() / scale for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return gradients


def compare(expected: Answer, got: Answer, precision: str) -> None:
    """Loss and gradients, within what the precision allows."""
    assert got.loss == pytest.approx(expected.loss, rel=LOSS_WITHIN[precision])
    apart = {
        name: float((got.gradients[name] - gradient).norm() / gradient.norm().clamp(min=1e-12))
        for name, gradient in expected.gradients.items()
    }
    worst = max(apart, key=lambda name: apart[name])
    assert apart[worst] < GRADIENTS_WITHIN[precision], f"{worst}: {apart[worst]}"
