"""What the files of a run must hold for the report to show the run; whatever is missing is named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bertinchamps.metrics.protocols import PART_METRICS, PROTOCOLS
from bertinchamps.records import with_current_keys

COSTS = ("seconds", "steps", "tokens", "flops", "epochs")


def with_current_protocols(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores by split and protocol, with the names that protocols have in this version."""
    return {
        split: with_current_keys(protocols) if isinstance(protocols, dict) else protocols
        for split, protocols in scores.items()
    }


def split_of(scores: Mapping[str, Any]) -> str:
    """The split that a run is compared by: test, or dev where test was left alone or there is none."""
    return "test" if scores.get("test") else "dev"


def split_problems(scores: Mapping[str, Any], dev: bool) -> Iterator[str]:
    """A run without scores of test has nothing that the report shows; with `dev`, one without any scores."""
    if not dev and not scores.get("test"):
        yield "no scores of the test split, and a report holds no others: give task.test= when fine-tuning"
    elif not scores.get(split_of(scores)):
        yield "no scores of test or of dev"


def score_problems(scores: Mapping[str, Any], name: str = "scores") -> Iterator[str]:
    """What is wrong with scores by split and protocol; `name` is their key."""
    for split, by_protocol in scores.items():
        if not isinstance(by_protocol, dict):
            yield f"{name}.{split} is no mapping"
            continue
        for protocol, values in by_protocol.items():
            if protocol not in PROTOCOLS:
                yield f"{name}.{split}.{protocol}: no such protocol (one of: {', '.join(PROTOCOLS)})"
                continue
            optional = PROTOCOLS[protocol].optional
            wrong = [
                metric
                for metric in PROTOCOLS[protocol].metrics
                if not (is_number(values, metric) or (metric in optional and metric not in values))
            ]
            if wrong:
                yield f"{name}.{split}.{protocol}: {', '.join(wrong)} missing or not finite"
            key = PROTOCOLS[protocol].parts
            parts = values.get(key, {}) if isinstance(values, dict) else {}
            if not isinstance(parts, dict) or not all(
                is_number(part, metric) for part in parts.values() for metric in PART_METRICS
            ):
                yield f"{name}.{split}.{protocol}.{key}: needs {', '.join(PART_METRICS)} for each"


def subtask_problems(subtasks: object) -> Iterator[str]:
    """What is wrong with the results of the subtasks of a run."""
    if not isinstance(subtasks, dict):
        yield "subtasks is no mapping"
        return
    for title, found in subtasks.items():
        scores = found.get("scores") if isinstance(found, dict) else None
        if not isinstance(scores, dict) or not isinstance(found.get("data_fingerprint"), str):
            yield f"subtasks.{title}: needs scores and data_fingerprint"
        else:
            yield from score_problems(scores, f"subtasks.{title}.scores")


def held_out_problems(scores: object) -> Iterator[str]:
    """What is wrong with held-out scores; which ones there are, the objective decides."""
    if not isinstance(scores, dict) or not scores:
        yield "held_out is missing"
        return
    for key in scores:
        if not is_number(scores, key):
            yield f"held_out.{key} is not a finite number"


def cost_problems(cost: object, name: str, keys: tuple[str, ...] = COSTS) -> Iterator[str]:
    """Which costs are missing; `name` is their key."""
    for key in keys:
        if not is_number(cost, key):
            yield f"{name}.{key} is missing or not a finite number"


def is_number(node: object, key: str) -> bool:
    """Whether a mapping has a finite number under a key."""
    value = node.get(key) if isinstance(node, dict) else None
    return isinstance(value, int | float) and math.isfinite(value)
