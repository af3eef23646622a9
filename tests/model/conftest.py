"""What the tests of the model share: small configs, and models whose every weight is random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bertinchamps.model.architecture import build_config
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM

ARCH = Path(__file__).parents[2] / "configs" / "arch"
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}


def read(name: str) -> dict[str, Any]:
    """A node of configs/arch/ with its defaults list followed, as Hydra would."""
    node = yaml.safe_load((ARCH / f"{name}.yaml").read_text(encoding="utf-8"))
    fields: dict[str, Any] = {}
    for parent in node.pop("defaults", ["_self_"]):
        fields |= node if parent == "_self_" else read(parent)
    return fields


@pytest.fixture
def arch() -> Callable[[str], dict[str, Any]]:
    """Reads an architecture of the repository."""
    return read


@pytest.fixture
def small() -> Callable[..., BertinchampsConfig]:
    """Builds a shipped architecture at a size for tests, with changes."""

    def build(name: str = "crammed", vocab_size: int = 64, **changes: Any) -> BertinchampsConfig:
        return build_config(read(name) | SMALL | {"max_positions": 16, **changes}, vocab_size)

    return build


@pytest.fixture
def random_model() -> Callable[[BertinchampsConfig], BertinchampsForMaskedLM]:
    """Builds a model in which no weight is 0 or 1, so that a gain or a bias left out shows."""

    def build(config: BertinchampsConfig) -> BertinchampsForMaskedLM:
        torch.manual_seed(1)
        model = BertinchampsForMaskedLM(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return build


@pytest.fixture
def ids() -> torch.Tensor:
    """Token ids [2, 10]."""
    return torch.randint(64, (2, 10), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def padding() -> torch.Tensor:
    """An attention mask [2, 10] whose second row ends in three pads."""
    mask = torch.ones(2, 10, dtype=torch.long)
    mask[1, 7:] = 0
    return mask
