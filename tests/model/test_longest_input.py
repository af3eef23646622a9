"""The limit that is told is the encoder's own: it reads so many tokens, and not one more."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import longest_input

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 34,
}
MORE: dict[str, dict[str, Any]] = {
    "Longformer": {"attention_window": [4]},
    "Xmod": {"languages": ["fr_XX"], "default_language": "fr_XX"},
    "Albert": {"embedding_size": 16},
}
FAMILIES = {
    0: ("Albert", "Bert", "DistilBert", "Electra"),
    2: (
        "Camembert", "Data2VecText", "IBert", "Longformer", "MPNet", "Roberta", "RobertaPreLayerNorm",
        "XLMRoberta", "XLMRobertaXL", "Xmod",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("taken", "family"), [(taken, name) for taken, names in FAMILIES.items() for name in names]
)
def test_an_encoder_reads_as_many_tokens_as_is_told_and_no_more(taken: int, family: str) -> None:
    """Of 34 positions, some families leave those up to that of padding, here 1, unused."""
    config = getattr(transformers, f"{family}Config")(**SIZES, pad_token_id=1, **MORE.get(family, {}))
    longest = longest_input(config)
    assert longest == 34 - taken
    model = getattr(transformers, f"{family}Model")(config).eval()
    with torch.no_grad():
        assert model(torch.full((1, longest), 7)).last_hidden_state.shape[1] == longest
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, longest + 1), 7))


def test_padding_elsewhere_takes_other_positions() -> None:
    assert longest_input(transformers.RobertaConfig(**SIZES, pad_token_id=3)) == 30
    assert longest_input(transformers.MPNetConfig(**SIZES, pad_token_id=3)) == 32  # always as if it were 1


def test_encoders_that_compute_positions_have_no_limit() -> None:
    assert longest_input(BertinchampsConfig(max_positions=34)) == 10**9
    assert longest_input(BertinchampsConfig(max_positions=34, positions="learned")) == 34
    assert longest_input(transformers.XLNetConfig()) == 10**9
