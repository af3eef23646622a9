"""Each example once an epoch, updates of similar length, whatever the micro-batch and wherever one goes on."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.tasks.batching import ENOUGH_SUBWORDS, SHORTEST_SHARE, batches_of, in_length_order


def taken(lengths: list[int], count: int, cursor: int = 0, micro_batch: int = 8, seed: int = 0) -> list[int]:
    stream = batches_of(lengths, seed, cursor, 8, micro_batch)
    chosen = itertools.chain.from_iterable(indices.tolist() for indices, _ in stream)
    return list(itertools.islice(chosen, count))


LENGTHS = np.random.default_rng(0).integers(3, 90, 700).tolist()


def test_every_example_once_an_epoch() -> None:
    counts = np.bincount(taken(LENGTHS, 5600))
    assert set(counts.tolist()) <= {7, 8, 9}  # what is sorted together reaches over the end of an epoch
    assert (np.bincount(taken(LENGTHS[:640], 5120)) == 8).all()  # unless it divides one


def test_updates_do_not_depend_on_the_micro_batch_or_on_going_on() -> None:
    whole = taken(LENGTHS, 3000)
    assert taken(LENGTHS, 3000, micro_batch=2) == whole
    assert taken(LENGTHS, 1000, cursor=2000) == whole[2000:]
    assert taken(LENGTHS, 3000, seed=1) != whole


def test_padding_is_small() -> None:
    order = np.array(taken(LENGTHS, 2800)).reshape(-1, 8)
    lengths = np.array(LENGTHS)[order]
    padded = (lengths.max(1) * 8).sum() / lengths.sum()
    assert padded < 1.15
    plain = np.array(LENGTHS * 4).reshape(-1, 8)
    assert (plain.max(1) * 8).sum() / plain.sum() > 1.5  # what it would be


@given(st.integers(1, 40))
def test_a_small_set_meets_no_copy_of_itself_sooner_than_it_must(size: int) -> None:
    order = np.array(taken(list(range(1, size + 1)), 160)).reshape(-1, 8)
    for update in order:
        _, counts = np.unique(update, return_counts=True)
        assert counts.max() <= -(-8 // size) + 1


def test_length_order_has_all_once() -> None:
    batches = list(in_length_order(LENGTHS, 32))
    assert sorted(itertools.chain.from_iterable(batches)) == list(range(700))
    assert LENGTHS[batches[0][0]] == max(LENGTHS)


@given(st.lists(st.integers(1, 512), max_size=200), st.integers(1, 64))
def test_batches_in_length_order_hold_little_padding(lengths: list[int], size: int) -> None:
    batches = list(in_length_order(lengths, size))
    assert sorted(itertools.chain.from_iterable(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= size
        widest = max(lengths[index] for index in batch)
        short = [index for index in batch if lengths[index] < SHORTEST_SHARE * widest]
        assert len(batch) * widest < ENOUGH_SUBWORDS + widest or not short


def test_few_examples_of_all_lengths_do_not_share_a_batch() -> None:
    lengths = [100, 20] * 30
    padded = sum(
        len(batch) * max(lengths[index] for index in batch) for batch in in_length_order(lengths, 64)
    )
    assert padded == sum(lengths)
