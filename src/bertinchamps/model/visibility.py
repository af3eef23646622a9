"""Which keys a query may attend to: real tokens, those of its document, and in local layers those near it.

Shapes: B batch, S sequence, C chunks of W tokens, where a local layer's query reads W tokens to each side.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional

from bertinchamps.model.configuration import BertinchampsConfig

# A shorter sequence is read whole under a mask: its chunks of three widths would hold no fewer keys.
CHUNKS_FROM = 4


class Band(NamedTuple):
    """The mask of a local layer over chunks of tokens, each of which reads itself and its two neighbours.

    Attributes:
        side: W, tokens to each side of a query; also the length of a chunk.
        mask: [B or 1, 1, C, W, 3 W], true where a key may be attended to.
    """

    side: int
    mask: torch.Tensor


Mask = torch.Tensor | Band | None


def side_of(config: BertinchampsConfig, index: int) -> int | None:
    """The tokens to each side that a layer reads; None: it reads all.

    As in ModernBERT (Warner et al., 2024, section 2.1.2), every `global_every`-th layer reads all, also the first one;
    a pruned model says which ones.
    """
    chosen = config.global_layers
    reads_all = index % config.global_every == 0 if chosen is None else index in chosen
    return None if config.attention == "global" or reads_all else config.local_window // 2


def visible_keys(
    attention_mask: torch.Tensor | None,  # [B, S], true or nonzero at real tokens
    document_ids: torch.Tensor | None = None,  # [B, S], equal in tokens that may attend to each other
) -> torch.Tensor | None:  # [B, 1, 1 or S, S]
    """True where a key may be attended to; None: everywhere.

    A row of padding alone gets a mask that is true everywhere: attention without keys is 0 / 0.
    """
    mask = None
    if attention_mask is not None:
        real = attention_mask.bool()
        mask = (real | ~real.any(-1, keepdim=True))[:, None, None, :]
    if document_ids is None:
        return mask
    same = (document_ids[:, :, None] == document_ids[:, None, :])[:, None]
    return same if mask is None else same & mask | _itself(same.shape[-1], same.device)


def earlier_keys(
    visible: torch.Tensor | None, length: int, device: torch.device
) -> torch.Tensor:  # [B or 1, 1, S, S]
    """Of the visible keys [B, 1, 1 or S, S], those no later in the row than the query: causal attention."""
    earlier = torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]
    return earlier if visible is None else visible & earlier


def near(
    visible: torch.Tensor | None,  # [B, 1, 1 or S, S]
    side: int,
    length: int,
    device: torch.device,
) -> torch.Tensor:  # [B or 1, 1, S, S]
    """Of the visible keys, those at most `side` tokens away; the token itself always."""
    places = torch.arange(length, device=device)
    mask = ((places[:, None] - places).abs() <= side)[None, None]
    return mask if visible is None else mask & visible | _itself(length, device)


def band(
    visible: torch.Tensor | None,  # [B, 1, 1 or S, S]
    side: int,
    length: int,
    device: torch.device,
) -> Band:
    """`near` by chunks, in memory that grows with the length and not with its square, unless documents are apart."""
    chunks = -(-length // side)
    queries = torch.arange(chunks * side, device=device).view(chunks, side, 1)
    keys = (torch.arange(chunks, device=device) * side)[:, None, None] + torch.arange(
        -side, 2 * side, device=device
    )  # [C, 1, 3 W]
    inside = (keys >= 0) & (keys < length)
    mask = (((queries - keys).abs() <= side) & inside)[None, None]
    if visible is not None:
        rows = queries.clamp(max=length - 1).expand(-1, -1, 3 * side)
        columns = keys.clamp(0, length - 1).expand(-1, side, -1)
        seen = visible.expand(-1, -1, length, -1) if visible.shape[2] == 1 else visible
        mask = mask & seen[:, :, rows, columns]
    # Queries behind the end are cut off later; with a key, here any, no gradient is 0 / 0.
    return Band(side, mask | (queries == keys) | (queries >= length))


def chunked(vectors: torch.Tensor, side: int) -> torch.Tensor:  # [B, N, S, D] -> [B, N, C, W, D]
    """Queries in chunks, filled up with zeros."""
    batch, heads, length, size = vectors.shape
    chunks = -(-length // side)
    padded = functional.pad(vectors, (0, 0, 0, chunks * side - length))
    return padded.reshape(batch, heads, chunks, side, size)


def around(vectors: torch.Tensor, side: int) -> torch.Tensor:  # [B, N, S, D] -> [B, N, C, 3 W, D]
    """Keys or values of each chunk and of its two neighbours, zeros beyond the ends."""
    length = vectors.shape[2]
    chunks = -(-length // side)
    padded = functional.pad(vectors, (0, 0, side, (chunks + 1) * side - length))
    return padded.unfold(2, 3 * side, side).transpose(-1, -2)


def rows_at(mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:  # [B or 1, 1, S, S] -> [B, 1, K, S]
    """The mask of the queries at positions [B, K], or as it is where all queries share a row."""
    if mask.shape[2] == 1:
        return mask
    rows = torch.arange(len(mask), device=mask.device)[:, None]
    return mask[rows, 0, positions][:, None]


def _itself(length: int, device: torch.device) -> torch.Tensor:
    return torch.eye(length, dtype=torch.bool, device=device)


def documents_of(input_ids: torch.Tensor, separator_id: int) -> torch.Tensor:  # [B, S] -> [B, S]
    """The number of the document of each token in its row; a separator belongs to the document that it ends."""
    ends = (input_ids == separator_id).long()
    return ends.cumsum(1) - ends


def places_in_documents(document_ids: torch.Tensor) -> torch.Tensor:  # [B, S] -> [B, S]
    """Positions that begin at 0 in each document of a row."""
    places = torch.arange(document_ids.shape[1], device=document_ids.device).expand_as(document_ids)
    begins = functional.pad(document_ids[:, 1:] != document_ids[:, :-1], (1, 0), value=True)
    return places - torch.where(begins, places, 0).cummax(1).values
