"""Results for people: a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], left: int, rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table whose columns after the first `left` ones hold numbers."""
    rules = ["---" if place < left else "---:" for place in range(len(header))]
    return [f"| {' | '.join(map(str, line))} |" for line in (header, rules, *rows)]
