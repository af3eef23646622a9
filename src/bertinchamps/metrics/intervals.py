"""Intervals beside scores in results.json, and the counts of documents that comparisons of runs need."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertinchamps.metrics.resampling import intervals, whole
from bertinchamps.metrics.tallies import Tally, tally_of

INTERVALS = "intervals"  # key of the scores of a protocol
TALLIES = "_tallies.json"  # end of the name of a split's file; it holds counts and labels, but no text


def with_intervals(
    scores: Mapping[str, Mapping[str, Any]], tallies: Mapping[str, Tally], draws: int
) -> dict[str, Any]:
    """The scores by protocol, each with the 95 % intervals of those of its scores that the tally gives exactly.

    Args:
        scores: by protocol.
        tallies: what they were computed from, by protocol.
        draws: samples of documents; 0: no intervals.

    Returns:
        The same scores. A protocol has also `intervals`: name of a score → (low, high), `documents`, `draws`, and the
        intervals of F1 by type, label or class under the key of these scores.
    """
    return {name: {**own, **_of_protocol(own, tallies.get(name), draws)} for name, own in scores.items()}


def _of_protocol(scores: Mapping[str, Any], tally: Tally | None, draws: int) -> dict[str, Any]:
    if tally is None or not draws or not tally.documents:
        return {}
    exact = {path for path, value in whole(tally).items() if _is(_at(scores, path), value)}
    found: dict[str, Any] = {}
    for path, ends in intervals(tally, draws).items():
        if path in exact:
            node = found
            for key in path[:-1]:
                node = node.setdefault(key, {})
            node[path[-1]] = [round(end, 5) for end in ends]
    return {INTERVALS: {**found, "documents": tally.documents, "draws": draws}} if found else {}


def _at(scores: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    node: Any = scores
    for key in path:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _is(score: Any, value: float) -> bool:
    """A score of another meaning under the same name gets no interval."""
    return isinstance(score, int | float) and math.isclose(score, value, rel_tol=1e-6, abs_tol=1e-9)


def write_tallies(file: Path, tallies: Mapping[str, Tally]) -> None:
    """Write what the scores of a split were computed from, document by document."""
    file.write_text(
        json.dumps({name: tally.as_json() for name, tally in tallies.items()}, ensure_ascii=False),
        encoding="utf-8",
    )


def read_tallies(file: Path) -> dict[str, Tally]:
    """What `write_tallies` wrote; empty where there is no such file, or a damaged one."""
    try:
        content = json.loads(file.read_bytes())
        return {name: tally_of(record) for name, record in content.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
