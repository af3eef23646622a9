"""The configured steps as stages: functions of one text, then the comparing step that they lead to.

What a stage does to a text by itself is a pure function, which other processes and other machines call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from bertinchamps.data.cleaning import Comparing, Dropped, Measured, ReadingFiles, Step, steps
from bertinchamps.data.cleaning.counts import Count, Trace
from bertinchamps.fingerprints import canonical
from bertinchamps.schemas import named


class Stage(NamedTuple):
    """Steps that look at texts by themselves, and the comparing step that they lead to, if any."""

    functions: tuple[str, ...]  # nodes as canonical JSON: what a process needs to build them
    comparing: str | None


class Passage(NamedTuple):
    """What the functions of a stage made of a text.

    Attributes:
        text: what remains of it; empty if it was dropped.
        traces: of each step that it went through.
        look: what the comparing step saw.
    """

    text: str
    traces: list[Trace]
    look: Any

    @property
    def dropped(self) -> bool:
        return bool(self.traces) and isinstance(self.traces[-1].outcome, str)

    def add_to(self, counts: Sequence[Count]) -> None:
        """Count the document with each step that it went through: where it was dropped, the rest have not seen it."""
        for count, trace in zip(counts, self.traces, strict=False):
            count.add(trace)


def stages(nodes: Sequence[dict[str, Any]]) -> list[Stage]:
    """The configured steps, cut behind each comparing one."""
    found: list[Stage] = []
    functions: list[str] = []
    for node in nodes:
        text = canonical(node)
        if isinstance(built(text), Comparing):
            found.append(Stage(tuple(functions), text))
            functions = []
        else:
            functions.append(text)
    return [*found, Stage(tuple(functions), None)] if functions else found


def compares(nodes: Iterable[dict[str, Any]]) -> list[str]:
    """Names of the comparing steps among these."""
    return [node["name"] for node in nodes if isinstance(built(canonical(node)), Comparing)]


def shaping(nodes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nodes as fingerprints have them: the content of files that a step reads in the place of their names."""
    found = []
    for node in nodes:
        step = built(canonical(node))
        found.append({"name": node["name"], **step.fingerprint()} if isinstance(step, ReadingFiles) else node)
    return found


def passages(stage: Stage, texts: Sequence[str]) -> list[Passage]:
    """The texts after a stage's functions, with the looks of its comparing step. Other processes call it."""
    functions = [built(node) for node in stage.functions]
    comparing = None if stage.comparing is None else built(stage.comparing)
    return [_passage(functions, comparing, text) for text in texts]


def _passage(functions: Sequence[Any], comparing: Any, text: str) -> Passage:
    traces: list[Trace] = []
    for function in functions:
        result = function(text)
        outcome, findings = result if isinstance(result, Measured) else (result, None)
        traces.append(Trace.of(text, outcome, findings))
        if isinstance(outcome, Dropped):
            return Passage("", traces, None)
        text = outcome
    return Passage(text, traces, comparing.look(text) if comparing else None)


@lru_cache(maxsize=64)
def built(node: str) -> Step:
    """The step of a node, for its looks and functions, which keep nothing: one for all who ask."""
    return fresh(node)


def fresh(node: str) -> Step:
    """The step of a node, which has seen nothing yet."""
    name, settings = named(json.loads(node))
    return steps.build(name, **settings)
