"""The head for masked tokens in Microsoft's checkpoints of DeBERTa, under the names that transformers writes.

These checkpoints call its parts lm_predictions.lm_head.…, as transformers does with `"legacy": false` in config.json;
its version 5 opens no such model. The head with `"legacy": true`, which is the default, computes the same.
"""

from __future__ import annotations

from typing import Any

from bertinchamps.model.resizing import of_same_class

NAMES = {
    r"^lm_predictions\.lm_head\.(dense|LayerNorm)\.": r"cls.predictions.transform.\1.",
    r"^lm_predictions\.lm_head\.bias$": "cls.predictions.bias",
}


def names_of_head(auto_class: str, config: Any) -> dict[str, str]:
    """Patterns of names in a checkpoint, and what transformers calls these weights; empty: another kind of model.

    Args:
        auto_class: of transformers, that opens the model.
        config: of the model; that of a DeBERTa with this head is changed to the head with the usual names.
    """
    if auto_class != "AutoModelForMaskedLM" or config.model_type not in ("deberta", "deberta-v2"):
        return {}
    config.legacy = True
    return NAMES


def with_usual_names(model: Any) -> Any:
    """The same model, which does not know under which names its weights were read, and would be written with them."""
    return of_same_class(model, model.config, model.state_dict())
