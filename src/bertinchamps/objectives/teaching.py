"""What a student learns from a teacher: losses, each zero where both are the same model.

Shapes: B batch, S sequence, H hidden, T targets, V vocabulary, R relation heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.objectives.masking import IGNORED


def divergence(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 1.0) -> Tensor:
    """Summed KL(teacher ‖ student) in nats of the targets' probabilities, at a temperature (Hinton et al., 2015).

    Args:
        student: logits [T, V].
        teacher: logits [T, V].
        labels: [T]; where -100 stands, there is no target.
        temperature: divides the logits.
    """
    ours = F.log_softmax(student.float() / temperature, dim=-1)
    theirs = F.log_softmax(teacher.float() / temperature, dim=-1)
    return (
        F.kl_div(ours, theirs, reduction="none", log_target=True)
        .sum(-1)
        .masked_fill(labels == IGNORED, 0.0)
        .sum()
    )


def distance(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine of hidden states [..., H], averaged (as in DistilBERT, Sanh et al., 2019)."""
    return 1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1).mean()


def relation_distance(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], heads: int) -> Tensor:
    """KL of the relations between positions, averaged over queries, keys and values (MiniLMv2, Wang et al., 2021).

    A relation is softmax(x xᵀ / √(H / R)) of vectors x of one kind in one of R heads: a distribution over the positions
    for each position, whatever H is.

    Args:
        student: queries, keys and values, each [B, S, H].
        teacher: the same, perhaps with another H.
        heads: R, into which both H are cut.
    """
    found = [
        F.kl_div(_relations(ours, heads), _relations(theirs, heads), reduction="none", log_target=True)
        .sum(-1)
        .mean()
        for ours, theirs in zip(student, teacher, strict=True)
    ]
    return torch.stack(found).mean()


def _relations(vectors: Tensor, heads: int) -> Tensor:
    """Vectors [B, S, H] → log-probabilities [B, R, S, S]."""
    apart = vectors.reshape(*vectors.shape[:-1], heads, -1).transpose(1, 2)  # [B, R, S, H / R]
    scores = (apart @ apart.transpose(-1, -2)).float() * apart.shape[-1] ** -0.5
    return F.log_softmax(scores, dim=-1)
