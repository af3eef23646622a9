"""The order in which blocks are trained on: a position in an endless stream, and nothing else to remember.

Position p is block `order(p mod N)` of epoch `p div N`. The order of each epoch is a pseudo-random
permutation that is computed, not stored: no table in memory for a corpus of any size, and any position
can be reached at once. It depends on the seed alone, not on the micro-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bertinchamps.contract import Batch
from bertinchamps.data.blocks import Blocks, Tokens

if TYPE_CHECKING:
    from bertinchamps.data.online import OnlineBlocks

FEISTEL_ROUNDS = 6
Integers = NDArray[np.uint64]


def stream(
    blocks: Blocks | OnlineBlocks,
    seed: int,
    position: int,
    micro_batch: int,
    targets_per_block: int,
    first: int = 0,
    every: int = 1,
) -> Iterator[Batch]:
    """Endless micro-batches from a position on.

    Args:
        blocks: what is read.
        seed: of the order.
        position: of the first block.
        micro_batch: B, blocks a batch.
        targets_per_block: for the batch's count of targets.
        first: number of the first micro-batch to read, counted from `position`.
        every: read each so many-th micro-batch from there on.

    Yields:
        Batches with `input_ids` [B, S] and `positions` [B], both int64.
    """
    position += first * micro_batch
    read = _reader(blocks, seed, position)
    while True:
        positions = np.arange(position, position + micro_batch, dtype=np.int64)
        ids = read(positions)
        yield Batch(
            inputs={
                "input_ids": torch.from_numpy(ids.astype(np.int64)),
                "positions": torch.from_numpy(positions),
            },
            targets=micro_batch * targets_per_block,
            tokens=ids.size,
            next_cursor=position + micro_batch,
        )
        position += every * micro_batch


def _reader(blocks: Blocks | OnlineBlocks, seed: int, position: int) -> Callable[[NDArray[np.int64]], Tokens]:
    if isinstance(blocks, Blocks):
        return lambda positions: blocks.read(order(positions, len(blocks), seed))
    return blocks.reader(seed, position)


def order(positions: NDArray[np.int64], length: int, seed: int) -> NDArray[np.int64]:
    """Block indices of stream positions: each epoch of `length` positions visits every block once."""
    epochs, within = np.divmod(positions, length)
    indices = np.empty_like(positions)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        indices[chosen] = permuted(within[chosen], length, seed, int(epoch))
    return indices


def permuted(values: NDArray[np.int64], length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The images of `values` under a permutation of range(length).

    A Feistel network permutes the smallest power of four that holds the range; a value that lands
    outside is sent through again until it is inside ("cycle walking", Black and Rogaway, 2002).
    """
    half_bits = max(1, (max(length - 1, 1).bit_length() + 1) // 2)
    keys = np.random.SeedSequence([seed, epoch]).generate_state(FEISTEL_ROUNDS, np.uint64).astype(np.uint64)
    result = _feistel(values.astype(np.uint64), half_bits, keys)
    outside = result >= length
    while outside.any():
        result[outside] = _feistel(result[outside], half_bits, keys)
        outside = result >= length
    return result.astype(np.int64)


def _feistel(values: Integers, half_bits: int, keys: Integers) -> Integers:
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right + key) & mask)
    return (left << shift) | right


def _mixed(values: Integers) -> Integers:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
