"""Position encodings, by the name in `arch.positions`.

Tables of sines are computed in each forward pass, in fp32, and not kept as buffers. A buffer that is not saved holds
garbage after `from_pretrained`, which first builds the model on the meta device; a saved buffer fixes the length.
Shapes: B batch, S sequence, H hidden, D size of a head, K query positions, R rows: B or 1 for all.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import initialization

from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.registry import Registry

Rotation = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines, each [R, 1, S, D], fp32."""


class Positions(nn.Module):
    """The base class: an encoding adds to the embeddings, rotates queries and keys, or both; this class does neither.

    A builder takes the config and raises UserError for a combination that it does not have.
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()

    def initialise(self) -> None:
        """Fill the parameters of the encoding, other than linear maps, embeddings and norms."""

    def forward(
        self,
        embeddings: torch.Tensor,  # [B, S, H]
        places: torch.Tensor,  # [S], or [R, S] where they were given: the position of each token
    ) -> torch.Tensor:  # [B, S, H]
        """The embeddings with what the encoding adds to them."""
        return embeddings

    def rotation(self, places: torch.Tensor, local: bool = False) -> Rotation | None:  # [S] or [R, S]
        """The rotation of queries and keys at these positions, or None; that of local layers may be another one."""
        return None


POSITIONS: Registry[Positions] = Registry("position encoding", "arch.positions")


def angles(places: torch.Tensor, size: int, base: float) -> torch.Tensor:
    """p · base^(−2i / size), for positions p [..., S] and pairs of dimensions i: [..., S, size / 2], fp32.

    Vaswani et al. (2017), section 3.5. The geometric ladder of wavelengths runs from 2π to 2π · base.
    """
    exponents = torch.arange(0, size, 2, device=places.device, dtype=torch.float32) / size
    return places.to(torch.float32)[..., None] * (1.0 / base**exponents)


@POSITIONS.register("none")
class NoPositions(Positions):
    """No positions: the encoder sees a bag of tokens. A control for ablations."""


@POSITIONS.register("sinusoidal")
class Sinusoidal(Positions):
    """Adds sin and cos, interleaved, of each position's angles with base 10000 (Vaswani et al., 2017).

    Raises:
        UserError: an odd hidden size, which leaves a sine without its cosine.
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__(config)
        if config.hidden_size % 2:
            raise UserError(
                f"arch.hidden_size={config.hidden_size}: the sines and cosines of arch.positions="
                f"{config.positions} come in pairs; make it even"
            )
        self.width = config.position_width or config.hidden_size

    def table(self, embeddings: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The encoding [..., S, H] of positions [..., S] for embeddings [B, S, H], fp32."""
        turns = angles(places, self.width, 10000.0)  # [..., S, width / 2]
        table = torch.stack((turns.sin(), turns.cos()), dim=-1).flatten(-2)
        copies = embeddings.shape[-1] // self.width  # more than one in a model that has grown
        return table if copies == 1 else torch.cat([table] * copies, dim=-1)

    def forward(self, embeddings: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return embeddings + self.table(embeddings, places).to(embeddings.dtype)


@POSITIONS.register("scaled_sinusoidal")
class ScaledSinusoidal(Sinusoidal):
    """`sinusoidal` times one learned factor, which starts at 1 / √H (Hua et al., 2022; Cramming).

    The table's entries are about 1 and the token embeddings' about 0.02, so unscaled positions would
    drown the tokens at the start.
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__(config)
        self.start = config.hidden_size**-0.5
        self.scale = nn.Parameter(
            torch.full((1,), self.start)
        )  # one entry, not 0-d: sharding refuses scalars

    def initialise(self) -> None:
        initialization.constant_(self.scale, self.start)

    def forward(self, embeddings: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return embeddings + (self.scale * self.table(embeddings, places)).to(embeddings.dtype)


@POSITIONS.register("learned")
class Learned(Positions):
    """Adds one learned vector per position, up to `max_positions` (BERT)."""

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__(config)
        self.vectors = nn.Embedding(config.max_positions, config.hidden_size)

    def forward(self, embeddings: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Raises UserError if the sequence is longer than the table, IndexError if a given position is not in it."""
        length = embeddings.shape[-2]
        if places.dim() == 1 and length > self.vectors.num_embeddings:
            raise UserError(
                f"a sequence of {length} tokens exceeds arch.max_positions={self.vectors.num_embeddings},"
                " where learned positions end; cut the text, or train with a higher limit"
            )
        added: torch.Tensor = self.vectors(places)  # [..., S, H]
        return embeddings + added.to(embeddings.dtype)


@POSITIONS.register("rotary")
class Rotary(Positions):
    """Rotates queries and keys by an angle proportional to their position (Su et al., 2021).

    Dimensions d and d + D/2 of a head form a pair, as in GPT-NeoX, Llama and ModernBERT.

    Raises:
        UserError: an odd head size, which leaves a dimension without its pair.
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__(config)
        self.size, self.theta, self.local_theta = config.head_size, config.rotary_theta, config.local_theta
        if self.size % 2:
            raise UserError(
                f"arch.positions=rotary: arch.hidden_size={config.hidden_size} over"
                f" arch.num_attention_heads={config.num_attention_heads} gives heads of size {self.size};"
                " rotation takes dimensions in pairs, so make it even"
            )

    def rotation(self, places: torch.Tensor, local: bool = False) -> Rotation:
        theta = self.local_theta if local else self.theta
        turns = angles(places.view(-1, 1, places.shape[-1]), self.size, theta)  # [R, 1, S, D / 2]
        both = torch.cat((turns, turns), dim=-1)
        return both.cos(), both.sin()


def at(hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The vectors of [B, S, H] at positions [B, K]: [B, K, H]."""
    batch, length, size = hidden.shape
    rows = torch.arange(batch, device=hidden.device)[:, None] * length
    return hidden.flatten(0, 1).index_select(0, (rows + positions).flatten()).view(batch, -1, size)


def rotation_at(rotation: Rotation, positions: torch.Tensor | None) -> Rotation:
    """The rotation of vectors [B, N, K, D] at positions [B, K]; `positions` None: the rotation as it is."""
    if positions is None:
        return rotation
    cosines, sines = rotation
    rows = torch.arange(len(cosines), device=positions.device)[:, None]  # [R, 1]
    return cosines[rows, 0, positions][:, None], sines[rows, 0, positions][:, None]


def rotate(vectors: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Rotate queries or keys [..., S, D], in fp32: bf16 angles blur neighbouring positions."""
    cosines, sines = rotation
    exact = vectors.float()
    first, second = exact.chunk(2, dim=-1)
    return (exact * cosines + torch.cat((-second, first), dim=-1) * sines).to(vectors.dtype)
