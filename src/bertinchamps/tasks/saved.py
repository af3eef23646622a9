"""What a fine-tuned model needs besides its weights, in task.json beside them: it is built from these facts
when it is trained, and again when it labels new text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import heads
from bertinchamps.tasks.classification import Scale, TextLabeller
from bertinchamps.tasks.entities import representations
from bertinchamps.tasks.ner import EntityLabeller
from bertinchamps.tasks.windows import Pieces

FILE = "task.json"
FORMAT = 1  # raise it when old files would be read wrongly
PROBLEM_TYPES = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "number": "regression",
}


@dataclass(frozen=True)
class TaskFacts:
    """The facts.

    Attributes:
        title: of the task, such as quaero_emea.
        kind: "ner", "single_label", "multi_label" or "number".
        head: "flat" or "nested" for ner, else None.
        labels: types of entities, or classes, in the order of the head's outputs.
        max_length: tokens of a window.
        mean: of the numbers of train.
        deviation: their standard deviation.
        pairs: whether it reads two texts at a time.
        format: version of this file.
    """

    title: str
    kind: str
    head: str | None
    labels: tuple[str, ...]
    max_length: int
    mean: float = 0.0
    deviation: float = 1.0
    pairs: bool = False
    format: int = FORMAT

    def save(self, folder: Path) -> None:
        """Write task.json."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / FILE).write_text(text, encoding="utf-8")


def read_facts(folder: Path) -> TaskFacts:
    """The facts of a fine-tuned model's directory.

    Raises:
        UserError: it has none, or those of another version.
    """
    file = folder / FILE
    if not file.is_file():
        raise UserError(
            f"{folder}: no {FILE} there, so not a model that bertinchamps fine-tuned; "
            "give a run of `python -m bertinchamps.finetune`"
        )
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise UserError(f"{file}: of format {facts['format']}, and this bertinchamps reads {FORMAT}")
        return TaskFacts(**{**facts, "labels": tuple(facts["labels"])})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not as it was written ({type(error).__name__})") from error


def build_model(facts: TaskFacts, source: EncoderSource) -> nn.Module:
    """An encoder with the head that the facts ask for."""
    if facts.kind != "ner":
        return heads.build("classes", source=source, classes=facts.labels, problem=PROBLEM_TYPES[facts.kind])
    head = str(facts.head)
    return heads.build(head, source=source, classes=representations.build(head, labels=facts.labels).classes)


def build_labeller(
    facts: TaskFacts, tokenizer: Any, batch: int, device: torch.device
) -> EntityLabeller | TextLabeller:
    """What turns texts into inputs of the model, and its answers into entities or classes.

    Args:
        facts: of the task.
        tokenizer: of the encoder.
        batch: windows or texts that go through the model at once.
        device: where the model is.
    """
    if facts.kind == "ner":
        representation = representations.build(str(facts.head), labels=facts.labels)
        pieces = Pieces(tokenizer, facts.max_length)
        return EntityLabeller(representation, pieces, tokenizer.pad_token_id, batch, device)
    scale = Scale(facts.mean, facts.deviation)
    return TextLabeller(facts.kind, facts.labels, tokenizer, facts.max_length, batch, device, scale)
