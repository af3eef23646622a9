"""Directories of tiny models with random weights, as finetune and pretrain leave them: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import EncoderSource, open_tokenizer
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.kinds import kinds
from tiny_encoders import make_encoder

LABELS = ("ANAT", "CHEM", "DISO")
NOTES = (
    "Le patient présente une fièvre et une toux sèche depuis l'hiver.",
    "Traitement par du furosémide, 40 mg par jour. La radiographie montre un œdème du cœur et du foie.",
    "Fièvre.",
    "",
    "Effets de l'aspirine (acide acétylsalicylique) sur le cœur. " * 5,
)
# Of each: kind, head, labels and other facts. Low thresholds, so that random weights find entities.
TASKS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "nested": ("ner", "nested", {"thresholds": (0.3, 0.3, 0.3)}),
    "flat": ("ner", "flat", {}),
    "classes": ("single_label", None, {}),
    "several": ("multi_label", None, {}),
    "pairs": ("regression", None, {"pairs": True, "mean": 2.5, "deviation": 1.5}),
    "windows": (
        "multi_label",
        None,
        {"long_texts": {"pool": "labels", "at_once": 2, "overlap": 4, "most": 3}},
    ),
    "choices": ("multiple_choice", None, {"pairs": True}),
}


def save_masked_words(folder: Path) -> Path:
    """A masked language model of one layer with its tokenizer, called FOLDER/model."""
    made = make_encoder("bert", folder / "made")
    tokenizer = open_tokenizer(str(made))
    torch.manual_seed(0)
    config = BertinchampsConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, pad_token_id=tokenizer.pad_token_id, mask_token_id=tokenizer.mask_token_id,
        initializer_range=0.2,
    )  # fmt: skip
    BertinchampsForMaskedLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder


def save_task(encoder: Path, name: str, folder: Path) -> Path:
    """One of TASKS over the encoder of a directory, called FOLDER/model."""
    kind, head, more = TASKS[name]
    labels = ("number",) if kind == "regression" else LABELS
    facts = TaskFacts(name, kind, head, labels, 24, **more)
    torch.manual_seed(1)
    model = kinds.build(kind).build_model(facts, EncoderSource(str(encoder / "model")))
    for weights in model.parameters():  # a new head says almost the same of every text
        if weights.dim() == 2 and weights.shape[0] == len(labels):
            torch.nn.init.normal_(weights, std=0.5)
    (folder / "model").mkdir(parents=True)
    model.save(folder / "model")
    open_tokenizer(str(encoder / "model")).save_pretrained(folder / "model")
    facts.save(folder / "model")
    return folder
