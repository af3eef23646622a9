"""Results for people: a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

RATES = ("GFLOP/s", "of the product", "of the peak")


def table(header: Sequence[str], left: int, rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table whose columns after the first `left` ones hold numbers."""
    rules = ["---" if place < left else "---:" for place in range(len(header))]
    return [f"| {' | '.join(map(str, line))} |" for line in (header, rules, *rows)]


def rates(flops: float, product: float, peak: float) -> tuple[str, str, str]:
    """What stands in the columns `RATES`, of three rates in FLOP/s."""
    return f"{flops / 1e9:,.0f}", f"{flops / product:.0%}", f"{flops / peak:.0%}"
