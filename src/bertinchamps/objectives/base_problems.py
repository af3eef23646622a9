"""What can be wrong with `model=` in pretraining and with the settings beside it.

Weights are read for `sparsity=keep` alone, which is refused where none of them is zero.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.model.adapters import adapters
from bertinchamps.model.adapters.injected import PeftAdapter
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import (
    EncoderSource,
    longest_input,
    open_config,
    open_model,
    open_tokenizer,
    without_bars,
)
from bertinchamps.model.heads.stock_masked_lm import MASKED_LMS
from bertinchamps.model.locating import located
from bertinchamps.model.longer_rows import extension_problems
from bertinchamps.objectives.continuing import KEY
from bertinchamps.objectives.earlier_models import tokenizer_mistakes
from bertinchamps.schemas import ArchConfig, PretrainConfig, TokenizerConfig, named
from bertinchamps.training.sparsity import sparsities
from bertinchamps.training.sparsity.matrices import matrices_of

NONE, KEEP = "none", "keep"
# What a new model has in the place of a setting.
OF_NEW = {
    "dropout": "arch.dropout",
    "positions.extend": "arch.max_positions",
    "positions.theta": "arch.rotary_theta",
}
DISCRIMINATORS = ("ElectraForPreTraining",)  # classes of that ending that predict no tokens


def base_problems(config: PretrainConfig) -> list[str]:
    """Mistakes in `model=` and in what belongs to it, in the user's key names.

    A run that is resumed has its weights from a checkpoint, so its base may be gone.
    """
    if config.model is None:
        return _alone(config)
    key = f"{KEY}={config.model}"
    found = [*_brought(config, key), *_beside(config, key), *_adapter_problems(config)]
    if not 0 <= (config.dropout or 0) < 1:
        found.append(f"dropout={config.dropout}: from 0 to less than 1")
    try:
        source = located(KEY, config.model)
        base = open_config(str(source))
        of_class = _class_problems(base, key)
        found += [*of_class, *_fitting(config, base, key, source)]
        if not of_class and config.sparsity.get("name") == KEEP:
            _refuse_dense(str(source))
    except UserError as error:
        return found if config.resume != "never" else [*found, str(error)]
    return found


def _refuse_dense(source: str) -> None:
    """Raise UserError for a masked language model without zeros that could be kept."""
    with without_bars():
        model = open_model("AutoModelForMaskedLM", EncoderSource(source, with_head=True), None)
    sparsities.build(KEEP).masks(0, matrices_of(model, frozen=True), {}, 0)


def _alone(config: PretrainConfig) -> list[str]:
    """Settings that mean something beside `model=` alone."""
    sparsity, adapter = config.sparsity.get("name"), config.adapter.get("name")
    given = {  # with what says that it was left out
        "freeze.layers": (config.freeze.layers, config.freeze.layers == 0),
        "sparsity": (sparsity, sparsity != KEEP),
        "adapter": (adapter, adapter == NONE),
        "dropout": (config.dropout, config.dropout == 0),
        "positions.extend": (config.positions.extend, config.positions.extend is None),
        "positions.theta": (config.positions.theta, config.positions.theta is None),
        "tokenizer.extend": (config.tokenizer.extend, config.tokenizer.extend is None),
        "tokenizer.replace": (config.tokenizer.replace, config.tokenizer.replace is None),
    }
    return [
        f"{key}={value}: of a model that is trained further; name it with model=, or leave this out"
        + (f" (a new model has {OF_NEW[key]})" if key in OF_NEW else "")
        for key, (value, left_out) in given.items()
        if not left_out
    ]


def _brought(config: PretrainConfig, key: str) -> list[str]:
    """Settings of an architecture and of a tokenizer to train, which the model brings."""
    remedies = {
        "arch": "architecture; leave out arch= and arch.…, and an experiment= that sets them (experiment=continue does "
        "not)",
        "tokenizer": "tokenizer; leave out tokenizer= and tokenizer.… (tokenizer.extend=N adds entries to it, "
        "tokenizer.replace=N makes N new ones)",
    }
    # A path is compared with the model's, and another vocabulary is for models that are trained further.
    free = ["path", "extend", "replace"]
    if config.tokenizer.extend is not None or config.tokenizer.replace is not None:
        free += ["min_frequency", "sample_characters"]  # of the documents that it is for
    found = []
    for group, new in (("arch", ArchConfig()), ("tokenizer", TokenizerConfig())):
        given = asdict(getattr(config, group))
        defaults: dict[str, object] = asdict(new)
        defaults |= {name: given[name] for name in free if name in given}
        names = [f"{group}.{name}={value}" for name, value in given.items() if value != defaults[name]]
        if names:
            shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            found.append(f"{shown}: {key} brings its own {remedies[group]}")
    return found


def _beside(config: PretrainConfig, key: str) -> list[str]:
    """Settings that do not go with another model."""
    found = []
    if config.grow.model is not None:
        found.append(
            f"grow.model={config.grow.model}: a new model grows, and {key} is none; leave one of them out"
        )
    if (sparsity := config.sparsity.get("name")) not in (NONE, KEEP):
        found.append(
            f"sparsity={sparsity}: for new models alone; with {key} leave it out, or keep its zeros (sparsity={KEEP})"
        )
    if config.freeze.layers < 0:
        found.append(f"freeze.layers={config.freeze.layers}: must be at least 0, which freezes nothing")
    return found


def _adapter_problems(config: PretrainConfig) -> list[str]:
    name, settings = named(config.adapter)
    found = adapters.problems(name, settings)
    if found or name == NONE:
        return found
    adapter = adapters.build(**config.adapter)
    if problem := adapter.missing():
        return [problem]
    if not isinstance(adapter, PeftAdapter) or adapter.not_merged:
        return [
            f"adapter={name}: cannot become a part of the weights, and the result is a plain model; adapter=lora can"
        ]
    if config.sparsity.get("name") == KEEP and adapter.trains_matrices:
        return [
            f"sparsity={KEEP}: adapter={name} adds dense products to matrices, and merging fills their zeros; leave "
            "one of them out"
        ]
    if config.freeze.layers:
        return [
            f"freeze.layers={config.freeze.layers}: adapter={name} freezes all layers; leave one of them out"
        ]
    if config.optim.get("name") == "muon" and not adapter.trains_matrices:
        return [
            f"optim=muon: trains matrices inside the layers, and adapter={name} has none; use optim=adamw"
        ]
    return []


def _class_problems(base: Any, key: str) -> list[str]:
    """Whether transformers has a masked language model for it, and whether it is one."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    classes = getattr(base, "architectures", None) or []
    predicts = all(name.endswith(MASKED_LMS) and name not in DISCRIMINATORS for name in classes)
    if type(base) not in MODEL_FOR_MASKED_LM_MAPPING:
        return [
            f"{key}: transformers has no masked language model of type {base.model_type}; choose another one"
        ]
    if not predicts:
        return [f"{key}: a {classes[0]}, which predicts no masked tokens; name a masked language model"]
    return []


def _position_problems(config: PretrainConfig, base: Any, key: str) -> list[str]:
    """Whether rows fit the positions of the model, and whether these can be extended."""
    length, tokens, theta = config.blocks.sequence_length, config.positions.extend, config.positions.theta
    if tokens is None:
        longest = longest_input(base)
        found = [f"positions.theta={theta}: goes with positions.extend"] * (theta is not None)
        if longest < length:
            found.append(
                f"blocks.sequence_length={length}: {key} reads at most {longest} tokens; set that or less, or give it "
                f"more positions: positions.extend={length}"
            )
        return found
    found = extension_problems(base, tokens, theta, key)
    if length > tokens:
        found.append(
            f"blocks.sequence_length={length}: longer than positions.extend={tokens}; set that or less"
        )
    return found


def _fitting(config: PretrainConfig, base: Any, key: str, source: Path | str) -> list[str]:
    """Whether blocks, frozen layers and tokenizer fit the model."""
    found = _position_problems(config, base, key)
    if config.blocks.documents == "apart" and not isinstance(base, BertinchampsConfig):
        found.append(f"blocks.documents=apart: a {base.model_type} model reads whole rows; set it to packed")
    layers = getattr(base, "num_hidden_layers", 0)  # Perceiver has blocks
    if (frozen := config.freeze.layers) > layers:
        found.append(f"freeze.layers={frozen}: {key} has {layers}")
    tokenizer = open_tokenizer(str(source))
    if tokenizer.mask_token_id is None:
        return [*found, f"{key}: its tokenizer has no mask token (mask_token in tokenizer_config.json)"]
    if (largest := max(tokenizer.get_vocab().values())) >= base.vocab_size:
        found.append(
            f"{key}: its tokenizer has ids up to {largest}, and it predicts {base.vocab_size} tokens alone"
        )
    return found + (tokenizer_mistakes(config, key, source) if config.tokenizer.path is not None else [])
