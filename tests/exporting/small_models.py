"""Small models on disk whose every weight is random, as pretrain and finetune leave them, but for the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from bertinchamps.exporting import Source
from bertinchamps.model.architecture import build_config
from bertinchamps.model.encoders import EncoderSource, open_tokenizer
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.kinds import kinds
from support import ROOT
from tiny_encoders import make_encoder

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "max_positions": 64,
}  # fmt: skip
FACTS = {
    "flat": TaskFacts("ner_mine", "ner", "flat", ("ANAT", "DISO"), 32),
    "nested": TaskFacts("ner_mine", "ner", "nested", ("ANAT", "DISO"), 32, thresholds=(0.3, 0.6)),
    "classes": TaskFacts("classification_mine", "single_label", None, ("A", "B", "C"), 32),
    "number": TaskFacts("classification_mine", "regression", None, ("number",), 32, mean=2.5, deviation=1.5),
    "windows": TaskFacts(
        "classification_mine", "single_label", None, ("A", "B"), 32,
        long_texts={"read": "windows", "pool": "mean", "at_once": 4, "overlap": 8, "most": 4},
    ),
    "choices": TaskFacts("questions", "multiple_choice", None, ("a", "b"), 32),
}  # fmt: skip


def randomised(model: Any) -> Any:
    """The model with no weight that is 0 or 1, so that a gain or a bias left out shows."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def arch_of(name: str) -> dict[str, Any]:
    """A node of configs/arch/ with its defaults followed."""
    node = yaml.safe_load((ROOT / "configs/arch" / f"{name}.yaml").read_text(encoding="utf-8"))
    fields: dict[str, Any] = {}
    for parent in node.pop("defaults", ["_self_"]):
        fields |= node if parent == "_self_" else arch_of(parent)
    return fields


def pretrained(arch: str, folder: Path, **changes: Any) -> Path:
    """A masked language model of one of our architectures, or of another family."""
    torch.manual_seed(1)
    if not (ROOT / "configs/arch" / f"{arch}.yaml").is_file():
        return make_encoder(arch, folder)
    make_encoder("bert", folder)
    tokenizer = open_tokenizer(str(folder))
    ids = {
        name: getattr(tokenizer, name)
        for name in ("pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
    }
    config = build_config(arch_of(arch) | SMALL | changes, len(tokenizer), **ids)
    for file in ("config.json", "model.safetensors"):
        (folder / file).unlink()
    randomised(BertinchampsForMaskedLM(config)).save_pretrained(folder)
    return folder


def finetuned(encoder: Path, head: str, folder: Path) -> Path:
    """A model with a head over such an encoder."""
    torch.manual_seed(2)
    facts = FACTS[head]
    model = kinds.build(facts.kind).build_model(facts, EncoderSource(str(encoder), dropout=0.1))
    folder.mkdir(parents=True)
    randomised(model).save(folder)
    open_tokenizer(str(encoder)).save_pretrained(folder)
    facts.save(folder)
    return folder


def source_of(folder: Path, head: str | None = None) -> Source:
    return Source(folder, None, None if head is None else FACTS[head])
