"""The order in which blocks are trained on: a pseudo-random permutation of each epoch, computed and not stored.

No table lies in memory for a corpus of any size, and any cursor can be reached at once. Cursor c of the stream is block
`order(c mod N)` of epoch `c div N`. The order depends on the seed alone, not on the micro-batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEISTEL_ROUNDS = 6
Integers = NDArray[np.uint64]


def order(cursors: NDArray[np.int64], length: int, seed: int) -> NDArray[np.int64]:
    """Block indices of cursors of the stream: each epoch of `length` cursors visits every block once."""
    epochs, within = np.divmod(cursors, length)
    indices = np.empty_like(cursors)
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
