"""The order of training examples: an endless stream that seed and update size decide; a cursor is all that resumes it.

Item p of the stream is one of N examples, of epoch `p div N`. Within a stretch of some updates the examples are
sorted by length, so that an update needs little padding. The micro-batch does not change what an update holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bertinchamps.data.order import order

UPDATES_SORTED_TOGETHER = 32
SHORTEST_SHARE = 0.8  # of the length of a batch's longest example
ENOUGH_SUBWORDS = 512  # in a batch: matrix products of fewer rows do not reach a CPU's full speed


def batches_of(
    lengths: Sequence[int], seed: int, cursor: int, update: int, micro_batch: int
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Endless micro-batches from a cursor on.

    Args:
        lengths: of each example, in subwords.
        seed: of the order.
        cursor: of the first example; a multiple of `micro_batch`, as every yielded cursor is.
        update: examples in an update.
        micro_batch: examples in a micro-batch; divides `update`.

    Yields:
        Indices of examples, and the cursor after them.
    """
    sizes = np.asarray(lengths)
    # at most an epoch: a longer stretch could put an example into an update twice
    stretch = update * max(1, min(UPDATES_SORTED_TOGETHER, len(sizes) // update))
    while True:
        first = cursor - cursor % stretch
        indices = order(np.arange(first, first + stretch, dtype=np.int64), len(sizes), seed)
        by_length = indices[np.argsort(sizes[indices], kind="stable")].reshape(-1, update)
        shuffled = by_length[np.random.default_rng([seed, first]).permutation(len(by_length))].reshape(-1)
        while cursor < first + stretch:
            chosen = shuffled[cursor - first : cursor - first + micro_batch]
            cursor += micro_batch
            yield chosen, cursor


def in_length_order(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices of all examples once, in batches of similar length, the longest first.

    A batch has `size` examples, or fewer where the next example is much shorter than the batch's first, so that
    little of a batch is padding.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if batch:
            longest = lengths[batch[0]]
            padded = lengths[index] < SHORTEST_SHARE * longest and len(batch) * longest >= ENOUGH_SUBWORDS
            if padded or len(batch) == size:
                yield batch
                batch = []
        batch.append(index)
    if batch:
        yield batch
