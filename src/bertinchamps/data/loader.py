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
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[Batch]:
    """Endless micro-batches from a cursor on.

    Args:
        blocks: what is read.
        seed: of the order.
        cursor: of the first block in the stream.
        micro_batch: B, blocks a batch.
        targets_per_block: for the batch's count of targets.
        rank: of this process: it reads micro-batches `rank`, `rank + world_size`, … counted from `cursor`.
        world_size: processes that share the stream.

    Yields:
        Batches with `input_ids` [B, S] and `positions` [B], the cursor of each block; both int64.
    """
    cursor += rank * micro_batch
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
        cursor += world_size * micro_batch
