"""(IA)³ (Liu et al., 2022): trained vectors scale keys, values and the feed-forward's inner activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bertinchamps.errors import UserError
from bertinchamps.model.adapters import adapters
from bertinchamps.model.adapters.injected import ADAPTER, PeftAdapter, adapted_in_words, inject_in
from bertinchamps.model.adapters.targets import (
    FUSED,
    KEYS,
    QUERIES_FIRST,
    VALUES,
    attention_maps,
    feed_forward_maps,
    named_by_user,
)
from bertinchamps.schemas import Node


@adapters.register("ia3")
class Ia3(PeftAdapter):
    """Each key, value and inner activation is multiplied by a number of its own; all begin at 1.

    A map that computes queries, keys and values at once gets one vector for all its outputs, as peft has it. The
    part of the queries gets no gradient and no weight decay, so it stays at 1, and keys and values alone are scaled.

    Args:
        targets: names of the maps whose outputs are scaled, or how they end; None: keys and values.
        feed_forward: names of the maps whose inputs are scaled; None: those that read inner activations.
        queries: scale the queries of such maps, too.
    """

    trains_matrices = False

    def __init__(
        self,
        targets: Sequence[str] | None = None,
        feed_forward: Sequence[str] | None = None,
        queries: bool = False,
    ) -> None:
        self._targets = None if targets is None else list(targets)
        self._feed_forward = None if feed_forward is None else list(feed_forward)
        self._queries = queries

    def inject(self, model: Any) -> Any:
        from peft import IA3Config

        found, inner = self._targets, self._feed_forward
        found = (
            attention_maps(model, (KEYS, VALUES)) if found is None else named_by_user(model, "targets", found)
        )
        inner = feed_forward_maps(model) if inner is None else named_by_user(model, "feed_forward", inner)
        config = IA3Config(target_modules=[*found, *inner], feedforward_modules=inner)
        fused = [] if self._queries else [name for name in found if name.rpartition(".")[2] in FUSED]
        if fused and model.config.model_type not in QUERIES_FIRST:
            raise UserError(
                f"adapter=ia3: {type(model).__name__} computes queries, keys and values at once ({fused[0]}), and the "
                "order of its outputs is not known here, so keys and values cannot be scaled alone; "
                "adapter.queries=true scales all three"
            )
        inject_in(model, config)
        for name in (*found, *inner):
            vector = model.get_submodule(name).ia3_l[ADAPTER]
            vector._no_weight_decay = True  # read by `training.optim`: decay would pull a factor from 1 to 0
            if name in fused:
                vector.register_hook(_without_queries)
        self._targets, self._feed_forward = found, inner
        return config

    def node(self) -> Node:
        return {
            "name": "ia3",
            "targets": self._targets,
            "feed_forward": self._feed_forward,
            "queries": self._queries,
        }

    def describe(self) -> str:
        queries = "" if self._queries else ", queries apart"
        outputs, inputs = adapted_in_words(self._targets or []), adapted_in_words(self._feed_forward or [])
        return f"ia3: scales the outputs of {outputs}{queries}, and the inputs of {inputs}"


def _without_queries(gradient: torch.Tensor) -> torch.Tensor:  # [3 H, 1]
    """The gradient of a fused map's vector, with zeros for the queries, which come first."""
    changed = gradient.clone()
    changed[: len(changed) // 3] = 0
    return changed
