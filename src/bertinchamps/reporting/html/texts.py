"""Texts with gold beside predicted, in pieces that a page can mark."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

STATES = {
    "missed": "−",
    "spurious": "+",
    "right": "✓",
}  # the worst first: it colours characters that several share


class ShownText(NamedTuple):
    """A text as the page shows it.

    Attributes:
        segments: its pieces in order, each with the state that colours it and the labels there; "": none.
        marks: a sign, a label with its characters, and the confidence, of each entity or class.
    """

    segments: list[tuple[str, str, str]]
    marks: list[tuple[str, str, str]]


def shown_text(record: Mapping[str, Any]) -> ShownText:
    """A line of SPLIT_compared.jsonl (`tasks/comparing.py`) in pieces."""
    text, spans = record["text"], record["marks"]
    placed = [span for span in spans if "fragments" in span]
    bounds = sorted({0, len(text), *(end for span in placed for pair in span["fragments"] for end in pair)})
    segments = []
    for start, end in pairwise(bounds):
        over = [
            span
            for span in placed
            if any(first <= start and end <= last for first, last in span["fragments"])
        ]
        state = next((state for state in STATES if any(span["state"] == state for span in over)), "")
        labels = ", ".join(f"{span['label']} ({span['state']})" for span in over)
        segments.append((text[start:end], state, labels))
    marks = [
        (
            STATES[span["state"]],
            _named(text, span),
            f"{span['confidence']:.2f}" if "confidence" in span else "",
        )
        for span in spans
    ]
    return ShownText(segments, marks)


def _named(text: str, span: Mapping[str, Any]) -> str:
    covered = " … ".join(" ".join(text[start:end].split()) for start, end in span.get("fragments", ()))
    return f"{span['label']} “{covered}”" if covered else str(span["label"])
