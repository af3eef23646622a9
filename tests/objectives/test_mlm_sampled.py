"""The sampled softmax: an unbiased sum over the vocabulary from some of its rows, and training with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertinchamps.objectives import GIVEN, objectives
from bertinchamps.objectives.masking import IGNORED
from bertinchamps.objectives.mlm_sampled import Candidates
from support import metrics

V, H, T = 300, 16, 40
CPU = torch.device("cpu")
COUNTS = np.arange(V)[::-1] ** 2  # the first ids are the frequent ones


@pytest.fixture
def decoder() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(H, V, bias=True)


@pytest.fixture
def hidden() -> Tensor:
    torch.manual_seed(1)
    return 2 * torch.randn(T, H)


LABELS = torch.arange(T) * 7 % V  # frequent and rare ones


def sampled(
    hidden: Tensor,
    decoder: nn.Linear,
    position: int,
    frequent: int = 64,
    drawn: int = 64,
    labels: Tensor = LABELS,
) -> Tensor:
    candidates = Candidates(COUNTS, frequent, drawn, 0, CPU)
    return candidates.loss(hidden, decoder, labels, candidates.at(torch.tensor(position)))


def test_with_all_rows_it_is_the_cross_entropy(hidden: Tensor, decoder: nn.Linear) -> None:
    hidden.requires_grad_()
    learned = (hidden, decoder.weight, decoder.bias)
    exact = F.cross_entropy(decoder(hidden), LABELS, reduction="sum")
    estimated = sampled(hidden, decoder, 0, frequent=V)
    torch.testing.assert_close(estimated, exact, rtol=1e-5, atol=0)
    gradients = torch.autograd.grad(estimated, learned)
    torch.testing.assert_close(gradients, torch.autograd.grad(exact, learned), rtol=1e-4, atol=1e-5)


def test_the_sum_over_the_vocabulary_is_right_on_average(hidden: Tensor, decoder: nn.Linear) -> None:
    own = (hidden[:1] * decoder.weight[LABELS[:1]]).sum() + decoder.bias[LABELS[0]]
    exact = torch.logsumexp(decoder(hidden[:1]), dim=1).exp()
    sums = torch.stack(
        [(sampled(hidden[:1], decoder, n, labels=LABELS[:1]) + own).exp() for n in range(2000)]
    )
    error = sums.std() / len(sums) ** 0.5
    assert error < 0.02 * exact
    assert abs(sums.mean() - exact) < 4 * error


def test_draws_are_those_of_the_place_in_the_stream() -> None:
    candidates = Candidates(COUNTS, 64, 64, 0, CPU)
    one, again, other = (candidates.at(torch.tensor(place)) for place in (5, 5, 6))
    assert torch.equal(one, again)
    assert torch.equal(one[:64], torch.arange(64))  # the frequent ones are always there
    assert set(one[64:].tolist()) <= set(range(64, V))
    assert not torch.equal(one, other)
    overlap = len(set(one[64:].tolist()) & set(other[64:].tolist()))
    assert overlap < 40  # neighbouring places do not share their draws
    assert not torch.equal(Candidates(COUNTS, 64, 64, 1, CPU).at(torch.tensor(5)), one)


def test_ignored_targets_count_nothing(hidden: Tensor, decoder: nn.Linear) -> None:
    labels = LABELS.clone()
    labels[10:] = IGNORED
    whole = sampled(hidden, decoder, 3, labels=labels)
    assert torch.allclose(whole, sampled(hidden[:10], decoder, 3, labels=LABELS[:10]))


def test_only_candidates_and_targets_get_a_gradient(hidden: Tensor, decoder: nn.Linear) -> None:
    sampled(hidden, decoder, 3).backward()
    assert decoder.weight.grad is not None
    touched = set(decoder.weight.grad.abs().sum(1).nonzero().flatten().tolist())
    candidates = set(Candidates(COUNTS, 64, 64, 0, CPU).at(torch.tensor(3)).tolist())
    assert touched == candidates | set(LABELS.tolist())


def test_mistakes_in_the_settings_are_reported() -> None:
    assert objectives.problems(
        "mlm_sampled", {"mask_rate": 2.0, "frequent": 0, "drawn": -1}, given=GIVEN
    ) == [
        "objective.mask_rate=2.0: a share between 0 and 1, such as 0.15",
        "objective.frequent=0: at least 1 row of the vocabulary",
        "objective.drawn=-1: at least 1 row of the vocabulary",
    ]


def test_it_learns_what_the_whole_softmax_learns_and_is_cheaper(quick_run: Callable[..., Path]) -> None:
    settings = ["budget.steps=60", "evaluation.every=0.5", "optim.learning_rate=5e-3"]
    whole = quick_run(*settings, name="whole")
    part = quick_run(
        *settings, "objective=mlm_sampled", "objective.mask_rate=0.15", "objective.frequent=60",
        "objective.drawn=60", name="sampled",
    )  # fmt: skip
    first, *_, last = (record["loss"] for record in metrics(whole, "held_out"))
    ours = metrics(part, "held_out")
    assert ours[0]["loss"] == pytest.approx(first, rel=1e-6)  # scored with the whole vocabulary
    assert last < first - 0.3
    assert ours[-1]["loss"] < last + 0.2 * (first - last)
    assert metrics(part)[-1]["flops"] < metrics(whole)[-1]["flops"]
