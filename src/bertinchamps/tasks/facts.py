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
        thresholds: for each label, the probability above which a span is an entity; none: 0.5 for all.
        pairs: whether an example is a pair of texts.
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
    details: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

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
