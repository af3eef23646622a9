"""Whether gradients of records that are computed together are those computed apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bertinchamps.contract import Batch
from bertinchamps.training.privacy.record_gradients import HooksFail, RecordGradients

ALIKE = 1e-2  # largest relative difference
SHORT = 1e-6  # length to which gradients are clipped, so that each record counts as much

LossSum = Callable[[Mapping[str, Tensor]], Tensor]


def refuse_unlike(
    gradients: RecordGradients, model: nn.Module, loss_sum: LossSum, together: Batch, apart: Iterable[Batch]
) -> None:
    """Compare the sums of clipped gradients of some records, without dropout.

    Args:
        gradients: which add up; empty before and behind.
        model: left as it was, training or not.
        loss_sum: of a micro-batch's inputs.
        together: several records in one micro-batch.
        apart: the same records, each in micro-batches of its own.

    Raises:
        HooksFail: the sums differ, so that a record could do more than the clipping allows; or Opacus fails.
    """
    clip, gradients.clip = gradients.clip, SHORT
    try:
        with _still(model):
            sums = [_sums(gradients, loss_sum, batches) for batches in ([together], apart)]
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError) as error:
        raise HooksFail(f"Opacus' hooks fail on this model ({type(error).__name__})") from error
    finally:
        gradients.clip = clip
        gradients.begin()
    difference = _length([one - other for one, other in zip(*sums, strict=True)])
    if not difference <= ALIKE * _length(sums[1]):
        raise HooksFail("Opacus' hooks compute other gradients for this model than single passes do")


def _sums(gradients: RecordGradients, loss_sum: LossSum, batches: Iterable[Batch]) -> list[Tensor]:
    gradients.begin()
    for batch in batches:
        if batch.records is not None:
            gradients.add(lambda inputs=batch.inputs: loss_sum(inputs), batch.records)  # type: ignore[misc]
    return gradients.sums


def _length(tensors: list[Tensor]) -> Tensor:
    length: Tensor = torch.stack([each.norm() for each in tensors]).norm()
    return length


@contextmanager
def _still(model: nn.Module) -> Iterator[None]:
    """A context without dropout: only parts with weights of their own are in training, as Opacus' hooks want it."""
    was_training = model.training
    model.eval()
    for part in model.modules():
        if any(weight.requires_grad for weight in part.parameters(recurse=False)):
            part.training = True
    try:
        yield
    finally:
        model.train(was_training)
