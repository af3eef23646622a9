"""The stream of micro-batches: a cursor, and nothing else to remember (`order.py` says which block comes when)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from bertinchamps.contract import Batch
from bertinchamps.data.blocks import TokenBlocks


def stream(
    blocks: TokenBlocks,
    seed: int,
    cursor: int,
    micro_batch: int,
    targets_per_block: int,
    first: int = 0,
    every: int = 1,
) -> Iterator[Batch]:
    """Endless micro-batches from a cursor on.

    Args:
        blocks: what is read.
        seed: of the order.
        cursor: of the first block in the stream.
        micro_batch: B, blocks a batch.
        targets_per_block: for the batch's count of targets.
        first: number of the first micro-batch to read, counted from `cursor`.
        every: read each so many-th micro-batch from there on.

    Yields:
        Batches with `input_ids` [B, S] and `positions` [B], the cursor of each block; both int64.
    """
    cursor += first * micro_batch
    read = blocks.reader(seed, cursor)
    while True:
        cursors = np.arange(cursor, cursor + micro_batch, dtype=np.int64)
        ids = read(cursors)
        yield Batch(
            inputs={
                "input_ids": torch.from_numpy(ids.astype(np.int64)),
                "positions": torch.from_numpy(cursors),
            },
            targets=micro_batch * targets_per_block,
            tokens=ids.size,
            next_cursor=cursor + micro_batch,
        )
        cursor += every * micro_batch
