"""task.json: what a fine-tuned model is built from besides its weights, for training and again for prediction."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError

FILE = "task.json"
FORMAT = 1  # to be raised when old files would be misread
RENAMED_KINDS = {"number": "regression"}  # in files of earlier versions → the kind


@dataclass(frozen=True)
class TaskFacts:
    """The content of task.json.

    Attributes:
        title: of the task, such as quaero_emea.
        kind: the entry of `tasks.kinds`, such as "ner".
        head: the entry of heads, such as "nested"; None where the kind has a single head.
        labels: types of entities, or classes, in the order of the head's outputs.
        max_length: tokens of a window.
        mean: mean target of train, for regression.
        deviation: standard deviation of train's targets, for regression.
        thresholds: for each label, the probability above which a span is an entity (head=nested), a word belongs to one
            (head=flat, one for all labels), or a class is predicted; none: 0.5, and of tags the best sequence.
        temperature: what divides all logits before probabilities are computed, so that confidences are true on dev.
        threshold_choice: how they were chosen on dev: fixed (0.5), overall, or by_label.
        pairs: whether an example is a pair of texts.
        loss: what was minimised, {name, **settings} (`tasks/texts/losses.py`); empty: plain.
        long_texts: how texts longer than a window are read, the settings of `long_texts`; empty: they are cut.
        details: what else a kind builds its model from, as JSON has it.
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
    thresholds: tuple[float, ...] = ()
    threshold_choice: str = "fixed"
    temperature: float = 1.0
    loss: dict[str, Any] = field(default_factory=dict)
    long_texts: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def bound(self) -> str:
        """What the model reads of a text at the most, for messages."""
        one = f"max_length={self.max_length} of the model"
        return f"{self.long_texts['most']} windows of {one}" if self.long_texts else one

    def save(self, folder: Path) -> None:
        """Write task.json."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / FILE).write_text(text, encoding="utf-8")


def read_facts(folder: Path) -> TaskFacts:
    """The facts of a fine-tuned model's directory.

    Raises:
        UserError: there is no task.json, or it is damaged or of another version.
    """
    file = folder / FILE
    if not file.is_file():
        raise UserError(
            f"{folder}: no {FILE} there, so this is not a model that bertinchamps fine-tuned; "
            "give a run of `python -m bertinchamps.finetune`"
        )
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise UserError(
                f"{file}: format {facts['format']}, but this version of bertinchamps reads {FORMAT}"
            )
        kind = RENAMED_KINDS.get(facts["kind"], facts["kind"])
        lists = {key: tuple(facts.get(key, ())) for key in ("labels", "thresholds")}
        return TaskFacts(**{**facts, "kind": kind, **lists})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: damaged ({type(error).__name__})") from error
