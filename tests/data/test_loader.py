"""The order of training blocks: each epoch a permutation, and a position that says everything."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from bertinchamps.contract import Batch
from bertinchamps.data.blocks import Blocks, TokenWriter
from bertinchamps.data.loader import stream
from bertinchamps.data.order import order, permuted

BLOCKS, LENGTH = 23, 4


@pytest.fixture
def blocks(tmp_path: Path) -> Blocks:
    """23 blocks of 4 tokens; block i holds the token i four times."""
    with TokenWriter(tmp_path / "train.bin", separator_id=999) as writer:
        writer.add([[i // LENGTH for i in range(BLOCKS * LENGTH)]])
    return Blocks(tmp_path / "train.bin", LENGTH)


def seen(blocks: Blocks, position: int, micro_batch: int, count: int, seed: int = 0) -> list[int]:
    """Indices of the first `count` blocks of a stream."""
    batches = stream(blocks, seed, position, micro_batch, targets_per_block=1)
    rows = (int(row[0]) for batch in batches for row in batch.inputs["input_ids"])
    return list(itertools.islice(rows, count))


def first(blocks: Blocks, cursor: int = 0, micro_batch: int = 5) -> Batch:
    return next(stream(blocks, 0, cursor, micro_batch, targets_per_block=2))


# ------------------------------------------------------------------------------- the permutation


@pytest.mark.parametrize("lengths", [range(1, 301), [4095, 4096, 4097, 65_537, 100_000]])
def test_an_epoch_visits_each_block_once(lengths: list[int]) -> None:
    for length in lengths:
        images = permuted(np.arange(length), length, seed=3, epoch=1)
        assert np.array_equal(np.sort(images), np.arange(length)), length


def test_a_position_far_into_a_huge_corpus_is_reached_at_once() -> None:
    length = 3_000_000_000
    images = permuted(np.arange(length - 1000, length), length, seed=0, epoch=0)
    assert len(np.unique(images)) == 1000
    assert images.min() >= 0
    assert images.max() < length
    assert np.ptp(images) > length // 2  # neighbours are torn apart


@pytest.mark.parametrize("other", [{"seed": 1, "epoch": 0}, {"seed": 0, "epoch": 1}])
def test_another_seed_or_epoch_is_another_order(other: dict[str, int]) -> None:
    positions = np.arange(1000)
    one, two = permuted(positions, 1000, seed=0, epoch=0), permuted(positions, 1000, **other)
    assert (one == two).mean() < 0.02  # two unrelated permutations agree in one place on average


def test_the_order_looks_shuffled() -> None:
    """Neither near the identity nor a rotation: steps between neighbours spread over the whole range."""
    images = permuted(np.arange(10_000), 10_000, seed=0, epoch=0)
    assert abs(np.corrcoef(np.arange(10_000), images)[0, 1]) < 0.05
    assert len(np.unique(np.diff(images) % 10_000)) > 5_000


def test_every_place_of_an_epoch_is_equally_likely() -> None:
    places = np.concatenate([permuted(np.array([0]), 8, seed, epoch=0) for seed in range(4000)])
    assert np.abs(np.bincount(places, minlength=8) / 4000 - 1 / 8).max() < 0.03


# ------------------------------------------------------------------------------------- the stream


@pytest.mark.parametrize("position", [1, 7, 22, 23, 24, 60])
def test_a_stream_from_a_position_is_the_tail_of_the_stream_from_the_start(
    blocks: Blocks, position: int
) -> None:
    assert seen(blocks, position, 5, 50) == seen(blocks, 0, 5, 50 + position)[position:]


@pytest.mark.parametrize("micro_batch", [2, 5, 23, 64])
def test_the_order_does_not_depend_on_the_micro_batch(blocks: Blocks, micro_batch: int) -> None:
    assert seen(blocks, 0, micro_batch, 100) == seen(blocks, 0, 1, 100)


def test_each_epoch_of_a_stream_visits_every_block_once_in_its_own_order(blocks: Blocks) -> None:
    indices = seen(blocks, 0, 5, 3 * BLOCKS)
    epochs = [indices[start : start + BLOCKS] for start in range(0, 3 * BLOCKS, BLOCKS)]
    assert all(sorted(epoch) == list(range(BLOCKS)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a_batch_may_cross_from_one_epoch_into_the_next(blocks: Blocks) -> None:
    batch = first(blocks, cursor=BLOCKS - 2)
    indices = batch.inputs["input_ids"][:, 0].numpy()
    assert np.array_equal(indices[:2], permuted(np.array([BLOCKS - 2, BLOCKS - 1]), BLOCKS, 0, epoch=0))
    assert np.array_equal(indices[2:], permuted(np.array([0, 1, 2]), BLOCKS, 0, epoch=1))
    assert batch.next_cursor == BLOCKS + 3


def test_a_batch_larger_than_the_corpus_spans_several_epochs(blocks: Blocks) -> None:
    indices = first(blocks, micro_batch=3 * BLOCKS).inputs["input_ids"][:, 0]
    assert torch.bincount(indices).tolist() == [3] * BLOCKS


def test_order_does_not_mind_in_which_order_it_is_asked() -> None:
    positions = np.arange(100)
    assert np.array_equal(order(positions[::-1], 7, 0), order(positions, 7, 0)[::-1])


def test_a_batch_counts_what_it_holds(blocks: Blocks) -> None:
    batch = first(blocks, cursor=40)
    assert (batch.targets, batch.tokens, batch.next_cursor) == (10, 20, 45)
    assert batch.inputs["positions"].tolist() == [40, 41, 42, 43, 44]
    assert batch.inputs["input_ids"].shape == (5, LENGTH)
    assert {tensor.dtype for tensor in batch.inputs.values()} == {torch.int64}


# ------------------------------------------------------------------------------------- the blocks


def test_ids_up_to_65535_survive_the_disk(tmp_path: Path) -> None:
    with TokenWriter(tmp_path / "train.bin", separator_id=65_535) as writer:
        writer.add([[0, 40_000, 65_534]])
    assert Blocks(tmp_path / "train.bin", 4).read(np.array([0])).tolist() == [[0, 40_000, 65_534, 65_535]]


def test_a_tail_that_fills_no_block_is_left_out(tmp_path: Path) -> None:
    with TokenWriter(tmp_path / "train.bin", separator_id=3) as writer:
        writer.add([[1] * 9])
    assert (writer.documents, writer.tokens) == (1, 10)
    assert len(Blocks(tmp_path / "train.bin", 4)) == 2
    assert len(Blocks(tmp_path / "train.bin", 11)) == 0
