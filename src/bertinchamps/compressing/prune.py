"""prune: fewer layers, heads and units of the feed-forward; what is left is a plain model of the same class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from bertinchamps.compressing import Done, Material, steps
from bertinchamps.compressing.importance import importance, loss_of, most_important, pruned, without_layers
from bertinchamps.compressing.layouts import Kept, layout_of, units_of
from bertinchamps.compressing.rebuilding import inner_of, write_model
from bertinchamps.compressing.uses import Sample, use_of
from bertinchamps.errors import UserError
from bertinchamps.model.encoders import open_config
from bertinchamps.registry import Check
from bertinchamps.schemas import Node, named
from bertinchamps.training.runtime import build_runtime

NAME = "prune"


def _problems(settings: Any) -> list[str]:
    """Mistakes in numbers that no model could mend."""
    found = [
        f"steps.{name}={value}: a share that is removed, from 0 to less than 1 (0.25: a quarter)"
        for name in ("heads", "feed_forward")
        if not 0 <= (value := settings.get(name, 0.0)) < 1
    ]
    if (layers := settings.get("layers", 0)) < 0:
        found.append(f"steps.layers={layers}: layers that are removed, at least 0")
    for name in ("examples", "batch"):
        if (value := settings.get(name, 1)) < 1:
            found.append(f"steps.{name}={value}: must be at least 1")
    if not found and not any(settings.get(name) for name in ("heads", "feed_forward", "layers")):
        found.append("steps: prune removes nothing; give heads, feed_forward or layers")
    return found


check: Check = _problems


@steps.register(NAME, check=check)
class Prune:
    """Removes the least important parts, judged by the loss on examples (`Material.judging`). Layers go first.

    Args:
        feed_forward: share of the feed-forward's units that is removed from each layer.
        heads: share of the attention heads that is removed from each layer, of encoders of our own.
        layers: how many layers are removed.
        examples: that parts are judged by.
        batch: of them at once.
    """

    def __init__(
        self,
        feed_forward: float = 0.0,
        heads: float = 0.0,
        layers: int = 0,
        examples: int = 512,
        batch: int = 16,
    ) -> None:
        self.feed_forward, self.heads, self.layers = feed_forward, heads, layers
        self.examples, self.batch = examples, batch

    def problems(self, material: Material) -> list[str]:
        try:
            config = open_config(material.encoder)
            layout = layout_of(config)
        except UserError as error:
            return [str(error)]
        found = material.text_problems()
        if self.heads and not layout.heads_shrink:
            found.append(
                f"steps.heads={self.heads}: the heads of a {config.model_type} fill its hidden size, so none can go; "
                "prune feed_forward and layers"
            )
        return [*found, *_emptied(material.config.steps, config, units_of(config, layout))]

    def apply(self, folder: Path, material: Material, place: Path) -> Done:
        runtime = build_runtime(material.config.runtime)
        source = material.at(folder)
        model: nn.Module = source.model().to(runtime.device)
        sample = use_of(material).sample(folder, self.examples, self.batch, runtime)
        before = loss_of(model, sample)
        model, facts = self._pruned(model, sample)
        write_model(model, source, source.tokenizer(), place)
        after = loss_of(model, sample)
        examples = sum(len(batch.inputs["input_ids"]) for batch in sample[0])
        return Done(
            {**facts, "examples": examples, "loss_before": before, "loss_after": after},
            [
                f"pruned     {_told(facts)}; loss on {examples} examples of {material.judging} "
                f"{before:.4f} → {after:.4f}"
            ],
        )

    def _pruned(self, model: nn.Module, sample: Sample) -> tuple[nn.Module, dict[str, Any]]:
        """The pruned model, and what is left of it."""
        facts: dict[str, Any] = {}
        if self.layers:
            total = inner_of(model).config.num_hidden_layers
            kept, dropped = without_layers(model, sample, self.layers)
            model = pruned(model, Kept(kept))
            facts["layers"] = {"of": total, "left": len(kept), "kept": kept, "dropped": dropped}
        if not self.heads and not self.feed_forward:
            return model, facts
        config = inner_of(model).config
        of_heads, of_units = importance(model, sample)
        heads = units = None
        if self.heads:
            total = config.num_attention_heads
            heads = most_important(of_heads, _left(total, self.heads))
            facts["heads"] = {"of": total, "left": len(heads[0]), "kept": heads}
        if self.feed_forward:
            total = units_of(config, layout_of(config))
            units = most_important(of_units, _left(total, self.feed_forward))
            facts["feed_forward"] = {"of": total, "left": len(units[0])}
        return pruned(model, Kept(range(config.num_hidden_layers), units, heads)), facts


def _emptied(chain: Sequence[Node], config: Any, units: int) -> list[str]:
    """Mistakes of the first pruning in a chain that would leave nothing of what those before it left.

    Args:
        chain: all steps.
        config: of the encoder before them.
        units: of its feed-forward.
    """
    layers, then = config.num_hidden_layers, ""
    left = {"heads": config.num_attention_heads, "feed_forward": units}
    for settings in (settings for name, settings in map(named, chain) if name == NAME):
        removed, before = settings.get("layers", 0), dict(left)
        left = {name: _left(total, settings.get(name, 0.0)) for name, total in before.items()}
        found = [
            f"steps.{name}={settings[name]}: nothing would be left of {before[name]}{then}; remove less"
            for name in left
            if left[name] < 1
        ]
        if removed >= layers:
            found.insert(0, f"steps.layers={removed}: the model has {layers}{then}, and one must stay")
        if found:
            return found
        layers, then = layers - removed, " by then"
    return []


def _left(total: int, share: float) -> int:
    """How many are left."""
    return round(total * (1 - share))


def _told(facts: dict[str, Any]) -> str:
    words = {
        "layers": "layers",
        "heads": "heads a layer",
        "feed_forward": "units of the feed-forward a layer",
    }
    return ", ".join(
        f"{facts[name]['left']:,} of {facts[name]['of']:,} {words[name]} left"
        for name in words
        if name in facts
    )
