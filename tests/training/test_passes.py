"""Passes over examples on a card that is too small for their batches."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from bertinchamps.errors import OutOfMemory
from bertinchamps.training.passes import PassLeft, each, until

BATCHES = [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11], [12]]


class Card:
    """Computes the sum of a batch, if it has at most so many examples."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[int] = []

    def __call__(self, batch: Sequence[int]) -> int:
        self.asked.append(len(batch))
        if len(batch) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return sum(batch)


@pytest.mark.parametrize(
    ("most", "asked"), [(9, [7, 5, 1]), (3, [7, 3, 3, 1, 3, 2, 1]), (2, [7, 3, *[1] * 13])]
)
def test_what_does_not_fit_is_computed_in_parts_once_and_in_order(most: int, asked: list[int]) -> None:
    card = Card(most)
    found = list(each(BATCHES, card))
    assert [index for batch, _ in found for index in batch] == list(range(13))
    assert all(result == sum(batch) for batch, result in found)
    assert card.asked == asked


def test_one_example_that_does_not_fit_ends_the_pass_with_a_remedy_that_helps() -> None:
    with pytest.raises(OutOfMemory, match=r"shorter rows need less.*no size of batches helps"):
        list(each(BATCHES, Card(0)))


def test_a_stop_ends_a_pass_and_no_pass_outside_of_its_context() -> None:
    card = Card(9)
    with until(lambda: len(card.asked) == 2), pytest.raises(PassLeft):
        list(each(BATCHES, card))
    assert card.asked == [7, 5]
    assert len(list(each(BATCHES, card))) == 3
