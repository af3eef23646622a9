"""Relations: an encoder that sees where the two arguments of a pair are, and a classifier over their markers.

As in Baldini Soares et al. (2019, Matching the Blanks: entity markers, entity start), each argument stands between two
markers, and the pair's class is read off the hidden states at the two first markers. The markers are vectors of the
head in the places of tokens: no vocabulary grows, any encoder and tokenizer serves, and text such as "[E1]" in a
document can never be a marker.

Shapes: B pairs, S sequence, H hidden, E size of the encoder's embeddings, M markers, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import EncoderSource, open_model
from bertinchamps.model.heads import DownstreamModel, heads
from bertinchamps.model.heads.nested import NO_CLASS

FILE = "relations_head.safetensors"
NOTICE = f"{NO_CLASS}the model has a head of relations, so label with python -m bertinchamps.predict"
HEAD_BEGINS, HEAD_ENDS, TAIL_BEGINS, TAIL_ENDS = ROLES = (1, 2, 3, 4)  # 0: no marker


class RelationHead(nn.Module):
    """The markers, and the classifier of pairs.

    A marker is the vector of its role plus, where markers are typed, that of its argument's type. Both are drawn with
    the mean and the deviation of the encoder's embeddings, so that the encoder reads them as it reads tokens.
    """

    def __init__(
        self, embeddings: torch.Tensor, hidden: int, types: int, classes: int, dropout: float
    ) -> None:
        super().__init__()
        size, scale = embeddings.shape[1], float(embeddings.std())
        self.roles = nn.Parameter(torch.randn(len(ROLES) + 1, size) * scale + embeddings.mean(0))  # [5, E]
        self.types = nn.Parameter(torch.randn(types + 1, size) * scale)  # [types + 1, E]; 0: no type
        self.dense = nn.Linear(2 * hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, classes)

    def markers(
        self, roles: torch.Tensor, types: torch.Tensor
    ) -> torch.Tensor:  # [B, S], [B, S] -> [B, S, E]
        """The vectors of the markers; meaningless where there is none."""
        typed = self.types[types] * (types > 0)[..., None]
        return self.roles[roles] + typed

    def forward(self, head: torch.Tensor, tail: torch.Tensor) -> torch.Tensor:  # [B, H], [B, H] -> [B, C]
        """Logits of pairs, from the hidden states at the first markers of both arguments."""
        both = self.dropout(torch.cat([head, tail], -1))
        logits: torch.Tensor = self.classifier(self.dropout(nn.functional.gelu(self.dense(both))))
        return logits


@heads.register("relations")
class RelationClassifier(DownstreamModel):
    """An encoder and a `RelationHead`.

    Args:
        source: of the encoder.
        classes: names, that of no relation included.
        types: how many types of arguments have markers of their own; 0: markers are not typed.
    """

    def __init__(self, source: EncoderSource, classes: Sequence[str], types: int) -> None:
        super().__init__()
        self.model = open_model("AutoModel", source, None)
        self.model.config.id2label, self.model.config.label2id = {0: NOTICE}, {NOTICE: 0}
        embeddings = self.model.get_input_embeddings().weight.detach()
        dropout = 0.0 if source.dropout is None else source.dropout
        self.head = RelationHead(embeddings, self.model.config.hidden_size, types, len(classes), dropout)
        if source.with_head:
            self.head.load_state_dict(_saved(Path(source.name) / FILE))

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],  # input_ids [B, S] and what goes with them
        roles: torch.Tensor,  # [B, S], one of ROLES where a marker stands, 0 elsewhere
        types: torch.Tensor,  # [B, S], 1, 2, … at the markers of typed arguments, 0 elsewhere
    ) -> torch.Tensor:  # [B, C]
        """Logits of each pair; the ids at the places of markers are not read."""
        given = dict(inputs)
        tokens = self.model.get_input_embeddings()(given.pop("input_ids"))
        markers = self.head.markers(roles, types).to(tokens.dtype)
        hidden = self.model(
            inputs_embeds=torch.where((roles > 0)[..., None], markers, tokens), **given
        ).last_hidden_state
        rows = torch.arange(len(hidden), device=hidden.device)
        at = [(roles == role).int().argmax(1) for role in (HEAD_BEGINS, TAIL_BEGINS)]
        return cast(torch.Tensor, self.head(*(hidden[rows, place] for place in at)))

    def save_head(self, folder: Path) -> None:
        """Write the head beside the encoder."""
        save_file(self.head.state_dict(), folder / FILE)


def _saved(file: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"{file}: missing or damaged ({type(error).__name__}); the head of relations is kept there"
        ) from error
