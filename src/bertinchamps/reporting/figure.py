"""Draws scores: a panel for each task and protocol, each seed a dot, published figures beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.reporting.means import deviation, mean
from bertinchamps.reporting.sections import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS_COLOUR, PUBLISHED_COLOUR = "#b3282d", "#52606d"
COLUMNS = 2


class _Row(NamedTuple):
    label: str
    mean: float
    deviation: float  # NaN for one seed
    seeds: list[float]
    ours: bool


class _Panel(NamedTuple):
    section: Section
    protocol: str

    def rows(self) -> list[_Row]:
        """The rows from top to bottom: our settings, then the published models."""
        headline, split = PROTOCOLS[self.protocol].headline, self.section.split
        rows = []
        for setting in self.section.scored(split, self.protocol):
            seeds = [scores[headline] for scores in setting.scores(split, self.protocol)]
            rows.append(_Row(setting.label, mean(seeds), deviation(seeds), seeds, ours=True))
        for published in self.section.published:
            if published.protocol == self.protocol and headline in published.scores:
                spread = published.deviations.get(headline, math.nan)
                label = f"{published.model} (published)"
                rows.append(_Row(label, published.scores[headline], spread, [], ours=False))
        return rows


def plot_scores(sections: Sequence[Section], file_stem: Path) -> list[Path]:
    """Draw the headline score of every setting.

    Args:
        sections: at least one.
        file_stem: path without extension.

    Returns:
        The files written: PNG and SVG.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    panels = _panels(sections)
    lines = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    heights = [max(_height(panel) for panel in line) for line in lines]
    figure, axes = plt.subplots(
        len(lines),
        min(COLUMNS, len(panels)),
        figsize=(6.5 * min(COLUMNS, len(panels)), sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for line, axes_of_line in zip(lines, axes, strict=True):
        for position, axis in enumerate(axes_of_line):
            if position < len(line):
                _draw(line[position], axis)
            else:
                axis.axis("off")
    files = [file_stem.with_suffix(suffix) for suffix in (".png", ".svg")]
    for file in files:
        figure.savefig(file, dpi=150)
    plt.close(figure)
    return files


def drawn_apart(sections: Sequence[Section]) -> list[bytes]:
    """An SVG of each panel, which a page can lay out for the width of a screen."""
    from matplotlib.figure import Figure

    drawn = []
    for panel in _panels(sections):
        figure = Figure(figsize=(6.5, _height(panel)), layout="constrained")
        _draw(panel, figure.subplots())
        figure.savefig(file := BytesIO(), format="svg")
        drawn.append(file.getvalue())
    return drawn


def _panels(sections: Sequence[Section]) -> list[_Panel]:
    return [_Panel(section, protocol) for section in sections for protocol in section.protocols]


def _height(panel: _Panel) -> float:
    return 1.3 + 0.3 * len(panel.rows())  # inches


def _draw(panel: _Panel, axis: Axes) -> None:
    protocol = PROTOCOLS[panel.protocol]
    scale = 100 if protocol.percent else 1
    rows = panel.rows()
    for height, row in enumerate(rows):
        colour = OURS_COLOUR if row.ours else PUBLISHED_COLOUR
        axis.errorbar(
            scale * row.mean, height, xerr=None if math.isnan(row.deviation) else scale * row.deviation,
            color=colour, capsize=3, marker="D" if row.ours else "s", markersize=6,
            markerfacecolor=colour if row.ours else "white",
        )  # fmt: skip
        dots = [scale * score for score in row.seeds]
        axis.plot(dots, [height] * len(dots), "o", markersize=4, color=colour, alpha=0.4)
    axis.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=8)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.margins(x=0.1)
    axis.grid(axis="x", alpha=0.3)
    name = protocol.metrics[protocol.headline]
    axis.set_xlabel(f"{name} ({panel.section.split}{', %' if protocol.percent else ''})", fontsize=9)
    axis.set_title(f"{panel.section.title}\n{protocol.title.partition(':')[0]}", fontsize=9)
