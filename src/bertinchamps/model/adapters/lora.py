"""LoRA (Hu et al., 2022): a product of two small matrices is added to some of the encoder's linear maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bertinchamps.model.adapters import adapters
from bertinchamps.model.adapters.injected import PeftAdapter, adapted_in_words, inject_in
from bertinchamps.model.adapters.targets import KEYS, QUERIES, VALUES, attention_maps, named_by_user
from bertinchamps.schemas import Node


def lora_problems(settings: Mapping[str, Any]) -> list[str]:
    """Mistakes in the settings of LoRA."""
    rank, alpha, dropout = settings.get("rank", 8), settings.get("alpha", 16), settings.get("dropout", 0.1)
    rules = (
        (f"adapter.rank={rank}: must be at least 1", rank >= 1),
        (f"adapter.alpha={alpha}: must be above 0", alpha > 0),
        (f"adapter.dropout={dropout}: from 0 to less than 1", 0 <= dropout < 1),
    )
    return [message for message, right in rules if not right]


@adapters.register("lora", check=lora_problems)
class Lora(PeftAdapter):
    """W x becomes W x + alpha / rank · B A x, with A of `rank` rows; W is frozen.

    Adapts queries, keys and values. A map that computes all three at once (ours, ModernBERT's) is adapted as a whole:
    one A for the three, and one B.

    Args:
        rank: rows of A.
        alpha: the product is scaled by alpha / rank.
        dropout: of what A reads.
        targets: names of the adapted linear maps, or how they end; None: queries, keys and values.
        use_dora: adapt directions and lengths of W's columns apart (Liu et al., 2024).
    """

    def __init__(
        self,
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.1,
        targets: Sequence[str] | None = None,
        use_dora: bool = False,
    ) -> None:
        self._settings: Node = {"rank": rank, "alpha": alpha, "dropout": dropout, "use_dora": use_dora}
        self._targets = None if targets is None else list(targets)

    def inject(self, model: Any) -> Any:
        from peft import LoraConfig

        self._targets = (
            attention_maps(model, (QUERIES, KEYS, VALUES))
            if self._targets is None
            else named_by_user(model, "targets", self._targets)
        )
        config = LoraConfig(
            r=self._settings["rank"],
            lora_alpha=self._settings["alpha"],
            lora_dropout=self._settings["dropout"],
            use_dora=self._settings["use_dora"],
            target_modules=self._targets,
        )
        inject_in(model, config)
        return config

    def node(self) -> Node:
        return {"name": "lora", **self._settings, "targets": self._targets}

    def describe(self) -> str:
        return f"lora of rank {self._settings['rank']} beside {adapted_in_words(self._targets or [])}"
