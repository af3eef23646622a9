"""What cleaning steps did to documents, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from bertinchamps.data.cleaning import Dropped, Findings, Outcome


class Trace(NamedTuple):
    """What a step did to one document.

    Attributes:
        characters: that it had.
        outcome: characters that it has now, or the reason why it was dropped.
        mended: it was changed.
        findings: what the step measured in it, if anything.
    """

    characters: int
    outcome: int | str
    mended: bool
    findings: Findings | None = None

    @classmethod
    def of(cls, text: str, outcome: Outcome, findings: Findings | None = None) -> Trace:
        """What became of a text."""
        if isinstance(outcome, Dropped):
            return cls(len(text), outcome.reason, False, findings)
        return cls(len(text), len(outcome), outcome != text, findings)


@dataclass
class Count:
    """What a step did.

    Attributes:
        step: its name.
        documents_in: documents read.
        characters_in: their characters.
        documents_out: documents passed on.
        characters_out: their characters.
        dropped: documents left out, by reason.
        mended: documents changed.
        marks: name → what was met in any document: bit n for number n (`Findings.marks`).
        numbers: name → a sum over the documents (`Findings.numbers`).
    """

    step: str
    documents_in: int = 0
    characters_in: int = 0
    documents_out: int = 0
    characters_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    mended: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    numbers: Counter[str] = field(default_factory=Counter)

    def add(self, trace: Trace) -> None:
        """Count a document."""
        self.documents_in += 1
        self.characters_in += trace.characters
        if isinstance(trace.outcome, str):
            self.dropped[trace.outcome] += 1
        else:
            self.documents_out += 1
            self.characters_out += trace.outcome
            self.mended += trace.mended
        if trace.findings is not None:
            for name, met in trace.findings.marks.items():
                self._mark(name, _bits(met))
            self.numbers.update(trace.findings.numbers)

    def join(self, other: Count) -> None:
        """Add what the same step did to other documents."""
        self.documents_in += other.documents_in
        self.characters_in += other.characters_in
        self.documents_out += other.documents_out
        self.characters_out += other.characters_out
        self.dropped += other.dropped
        self.mended += other.mended
        for name, bits in other.marks.items():
            self._mark(name, bits)
        self.numbers.update(other.numbers)

    def _mark(self, name: str, bits: int) -> None:
        self.marks[name] = self.marks.get(name, 0) | bits

    def facts(self) -> dict[str, Any]:
        """All of it as JSON has it; a step that measures nothing has no `marks` and `numbers`."""
        facts = {**asdict(self), "dropped": dict(self.dropped)}
        measured = {
            "marks": {name: f"{bits:x}" for name, bits in self.marks.items()},
            "numbers": dict(self.numbers),
        }
        for key, found in measured.items():
            del facts[key]
            facts |= {key: found} if found else {}
        return facts

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Count:
        """The count whose facts these are."""
        counters = {key: Counter(facts.get(key, {})) for key in ("dropped", "numbers")}
        marks = {name: int(bits, 16) for name, bits in facts.get("marks", {}).items()}
        return cls(**{**facts, **counters, "marks": marks})


def _bits(numbers: Sequence[int]) -> int:
    """An integer in which these bits are set."""
    octets = bytearray(max(numbers, default=-1) // 8 + 1)
    for number in numbers:
        octets[number // 8] |= 1 << number % 8
    return int.from_bytes(octets, "little")


def dropped(counts: Sequence[Count]) -> Counter[str]:
    """Documents that the steps left out, by reason."""
    return sum((count.dropped for count in counts), Counter[str]())
