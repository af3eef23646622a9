"""What cleaning steps did to documents, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from bertinchamps.data.cleaning import Dropped, Outcome


class Trace(NamedTuple):
    """What a step did to one document.

    Attributes:
        characters: that it had.
        outcome: characters that it has now, or the reason why it was dropped.
        mended: it was changed.
    """

    characters: int
    outcome: int | str
    mended: bool

    @classmethod
    def of(cls, text: str, outcome: Outcome) -> Trace:
        """What became of a text."""
        if isinstance(outcome, Dropped):
            return cls(len(text), outcome.reason, mended=False)
        return cls(len(text), len(outcome), mended=outcome != text)


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
    """

    step: str
    documents_in: int = 0
    characters_in: int = 0
    documents_out: int = 0
    characters_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    mended: int = 0

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

    def join(self, other: Count) -> None:
        """Add what the same step did to other documents."""
        self.documents_in += other.documents_in
        self.characters_in += other.characters_in
        self.documents_out += other.documents_out
        self.characters_out += other.characters_out
        self.dropped += other.dropped
        self.mended += other.mended

    def facts(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {**asdict(self), "dropped": dict(self.dropped)}

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Count:
        """The count whose facts these are."""
        return cls(**{**facts, "dropped": Counter(facts["dropped"])})


def dropped(counts: Sequence[Count]) -> Counter[str]:
    """Documents that the steps left out, by reason."""
    return sum((count.dropped for count in counts), Counter[str]())
