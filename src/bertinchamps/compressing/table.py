"""The table of a compression: on the terminal, and in the model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bertinchamps.compressing.measuring import Row
from bertinchamps.exporting.card import FILE as CARD
from bertinchamps.exporting.card import write_card
from bertinchamps.exporting.source import Source

MEGABYTE = 1e6


def table(rows: Sequence[Row], batch: int) -> list[str]:
    """Lines of a table in Markdown; each model beside the first one.

    Args:
        rows: of the models, the first before all steps.
        batch: texts of a batch.
    """
    first = rows[0]
    titles = (
        "after", "parameters", "MB on disk", "one text, ms", f"batch of {batch}, ms", "texts/s", "times",
        "memory, MB", first.metric, "change",
    )  # fmt: skip
    lines = [titles, ("---",) * len(titles)]
    for row in rows:
        faster = None if not (row.per_second and first.per_second) else row.per_second / first.per_second
        lines.append(
            (
                row.name,
                f"{row.parameters:,}",
                f"{row.bytes / MEGABYTE:.1f}",
                _shown(row.one and 1000 * row.one, ".1f"),
                _shown(row.batch and 1000 * row.batch, ".0f"),
                _shown(row.per_second, ".1f"),
                _shown(faster, ".2f"),
                _shown(row.memory and row.memory / MEGABYTE, ".0f"),
                f"{row.score:.4f}",
                f"{row.score - first.score:+.4f}",
            )
        )
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def write_compressed_card(
    source: Source, place: Path, lines: Sequence[str], shown: Sequence[str], where: str
) -> None:
    """Write the card of the run that made the model, where it is known, with what was done to the model since.

    Args:
        source: the model before all steps.
        place: directory of the model after all steps.
        lines: what the steps did.
        shown: the table.
        where: it was measured.
    """
    file = place / CARD
    above = (
        "Scores and parameters above are those of the model before it was compressed. "
        if write_card(source, None, place, None)
        else ""
    )
    own = file.read_text(encoding="utf-8") if above else "# A compressed model\n"
    steps = "\n".join(f"- {line}" for line in lines)
    added = f"\n## Compression\n\n{above}Measured on {where}.\n\n{steps}\n\n" + "\n".join(shown) + "\n"
    file.write_text(own.rstrip() + "\n" + added, encoding="utf-8")
