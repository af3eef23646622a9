"""Losses of models that are called with labels: means over targets, in float32.

`transformers.Trainer` gives the number of targets of a whole update, and the loss is the mean over them. Our own tasks
compute their losses from logits.

Shapes: B batch, C classes.
"""

from __future__ import annotations

import torch
from torch.nn import functional

IGNORED = -100
PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")


def of_classes(
    logits: torch.Tensor,  # [..., C]
    labels: torch.Tensor,  # [...], -100 where there is no target
    targets: torch.Tensor | int | None = None,
) -> torch.Tensor:  # scalar, nats
    """Cross-entropy; 0 without targets.

    Args:
        logits: of the classes.
        labels: the gold classes.
        targets: of the whole update; None: of these labels.
    """
    labels = labels.flatten()
    summed = functional.cross_entropy(
        logits.flatten(0, -2).float(), labels, ignore_index=IGNORED, reduction="sum"
    )
    return _mean(summed, (labels != IGNORED).sum().clamp(min=1) if targets is None else targets)


def of_texts(
    logits: torch.Tensor,  # [B, C]
    labels: torch.Tensor,  # [B], or [B, C] of several labels or numbers
    problem: str | None,
    targets: torch.Tensor | int | None = None,
) -> torch.Tensor:  # scalar, nats or squares
    """The loss of what transformers calls a problem type.

    Args:
        logits: of the texts.
        labels: numbers, the gold classes, or 1 at every gold class.
        problem: `regression`, `single_label_classification` or `multi_label_classification`, as in the config; None: a
            number where there is one logit, one class where labels are whole numbers, and several otherwise.
        targets: of the whole update; None: of these labels.

    Raises:
        ValueError: no such problem type.
    """
    problem = problem or _problem(logits, labels)
    if problem == "single_label_classification":
        return of_classes(logits, labels, targets)
    # As many numbers as logits: broadcasting [B] against [B, 1] would compare each with each.
    numbers = labels.reshape(logits.shape).float()
    if problem == "regression":
        summed = functional.mse_loss(logits.float(), numbers, reduction="sum")
    elif problem == "multi_label_classification":
        summed = functional.binary_cross_entropy_with_logits(logits.float(), numbers, reduction="sum")
    else:
        raise ValueError(f"config.problem_type={problem}: one of {', '.join(PROBLEMS)}")
    return _mean(summed, logits.numel() if targets is None else targets)


def _problem(logits: torch.Tensor, labels: torch.Tensor) -> str:
    if logits.shape[-1] == 1:
        return "regression"
    whole = not (labels.is_floating_point() or labels.dtype is torch.bool)
    return "single_label_classification" if whole else "multi_label_classification"


def _mean(summed: torch.Tensor, targets: torch.Tensor | int) -> torch.Tensor:
    return summed / (targets.to(summed.device) if isinstance(targets, torch.Tensor) else targets)
