"""The model card in the Hub's format (README.md), written from the run that made a model.

`card_run.py` gathers what is told of the run; `card_words.py` keeps out what must not be told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bertinchamps.exporting import card_words
from bertinchamps.exporting.card_run import Told, told_of
from bertinchamps.exporting.marker import package_version
from bertinchamps.exporting.source import Source
from bertinchamps.exporting.use import Use
from bertinchamps.pages import render

FILE = "README.md"
RECIPE = {
    "arch.num_attention_heads": "attention heads", "arch.feed_forward": "feed-forward", "arch.norm": "norm",
    "arch.norm_position": "place of the norm", "arch.positions": "positions",
    "tokenizer.normalizer": "normaliser of the tokenizer", "tokenizer.vocab_size": "entries of the tokenizer",
    "blocks.sequence_length": "tokens of a block", "objective.name": "objective",
    "objective.mask_rate": "share of masked tokens", "head": "head", "adapter.name": "adapter",
    "sparsity.name": "sparsity", "sparsity.level": "sparsity, share of zeros", "privacy.name": "privacy",
    "max_length": "tokens of a window", "dropout": "dropout", "batch.size": "batch", "optim.name": "optimizer",
    "optim.learning_rate": "learning rate", "optim.weight_decay": "weight decay", "schedule.name": "schedule",
    "gradient_clipping": "gradient clipping", "seed": "seed", "budget.hours": "budget, hours",
    "budget.steps": "budget, updates", "budget.tokens": "budget, tokens", "budget.epochs": "budget, epochs",
    "budget.flops": "budget, FLOPs", "runtime.precision": "precision",
}  # fmt: skip


def write_card(source: Source, use: Use | None, place: Path, license_key: str | None) -> bool:
    """Write README.md, where the run that made the model is known and finished; returns whether it is.

    Args:
        source: the model that was exported.
        use: how the result is used; None: the exporter does not say.
        place: the exported directory.
        license_key: of the model, as the Hub writes it; None: nobody chose one.
    """
    from huggingface_hub import ModelCard

    found = None if source.run is None else told_of(source, source.run)
    if found is None:
        return False
    body = render(
        "exporting/card.md.jinja",
        told=found,
        use=use,
        code=Markup(use.code) if use else "",
        finetuned=source.facts is not None,
        what=_what(source, found, use),
        license_key=license_key,
        recipe=[*_architecture(place), *_recipe(found.config)],
        remarks=list(dict.fromkeys(remark for score in found.scores if (remark := score.remark))),
        command=Markup(card_words.command(found.facts["command"])),
        version=package_version(),
        text=Markup,
    )
    header = _header(source, found, use, license_key)
    ModelCard(f"---\n{header}\n---\n\n{body}").save(place / FILE)
    return True


def _header(source: Source, found: Told, use: Use | None, license_key: str | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    data_name = found.task or (
        "held-out documents" if source.facts is None else "examples of the makers' own"
    )
    results = [
        EvalResult(
            task_type=use.task if use else "other",
            dataset_type=(found.task or "private") if source.facts else (*found.datasets, "private")[0],
            dataset_name=data_name,
            dataset_split=score.split,
            metric_type=score.metric,
            metric_name=f"{score.title} ({score.protocol})",
            metric_value=score.value,
        )
        for score in found.scores
    ]
    data = ModelCardData(
        language="fr",
        license=license_key,
        library_name=use.library if use else None,
        pipeline_tag=use.task if use else None,
        tags=["bertinchamps", "french", *(use.tags if use else ())],
        datasets=list(found.datasets) or None,
        base_model=found.base,
        metrics=sorted({score.metric for score in found.scores}) or None,
        model_name="bertinchamps" if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _what(source: Source, found: Told, use: Use | None) -> str:
    """The model in a line."""
    if source.facts is None:
        return "A French masked language model" if source.masked_lm else "A French encoder"
    task = use.task if use else source.facts.kind
    return f"A French model for {re.sub('[-_]', ' ', task)}" + (f" ({found.task})" if found.task else "")


def _recipe(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings with their names, those that are set."""
    for key, name in RECIPE.items():
        node: Any = config
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        if node is not None:
            yield name, node


def _architecture(place: Path) -> Iterator[tuple[str, Any]]:
    """What config.json of the exported model says."""
    try:
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # another program's directory
        return
    yield "class", ", ".join(config.get("architectures") or ["unknown"])
    inner = config.get("encoder") or config
    if {"num_hidden_layers", "hidden_size"} <= inner.keys():
        yield "layers × width", f"{inner['num_hidden_layers']} × {inner['hidden_size']}"
