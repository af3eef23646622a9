"""python -m bertinchamps.export: a trained model in, the files of another program out."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("export")
    sys.exit()

from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from bertinchamps.console import tell
from bertinchamps.exporting import exporters
from bertinchamps.exporting.card import FILE as CARD
from bertinchamps.exporting.card import write_card
from bertinchamps.exporting.marker import write_marker
from bertinchamps.exporting.source import open_source
from bertinchamps.exporting.use import SaysUse
from bertinchamps.schemas import ExportConfig
from bertinchamps.training.checkpoint import write_directory


def export(config: ExportConfig) -> None:
    """Write a model in one format.

    Raises:
        UserError: the model cannot be read, or cannot have this format.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    source = open_source(config)
    exporter = exporters.build(**config.format)
    output = Path(config.output).expanduser()
    lines: list[str] = []

    def fill(place: Path) -> None:
        lines.extend(exporter.export(source, place))
        use = exporter.use() if isinstance(exporter, SaysUse) else None
        if write_card(source, use, place, config.license):
            lines.append(f"card       {output / CARD}")
        write_marker(place, config.format)

    write_directory(output, fill)
    for line in lines:
        tell(line)
    tell(f"exported   {source.folder} → {output}")
