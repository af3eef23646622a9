"""Figures in one style: horizontal bars with their values, ours in colour beside others in grey."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS, OTHERS = "#2a6f97", "#b9bec4"
INCHES_A_BAR = 0.3
INCHES_AROUND = 0.95  # a panel's title, ticks and the space to the next
WIDTH = 8.0
BESIDE_BARS = (0.6, 0.6)  # above the first bar's middle and below the last one's, in bars
ROOM_FOR_VALUES = 0.26  # right of the longest bar, as a share of it


class Bar(NamedTuple):
    """One bar.

    Attributes:
        label: beside it.
        value: its length.
        ours: whether it is this project's.
    """

    label: str
    value: float
    ours: bool = False


class Panel(NamedTuple):
    """Bars of one quantity.

    Attributes:
        quantity: what they show, with its unit.
        bars: from top to bottom.
        form: of the values beside them.
    """

    quantity: str
    bars: Sequence[Bar]
    form: str = "{:,.0f}"


def draw(panels: Sequence[Panel], file: Path, side_by_side: bool = False) -> None:
    """Draw panels into a file.

    Args:
        panels: of bars.
        file: whose name's end is the format.
        side_by_side: the panels have the same bars, whose labels stand at the left; otherwise one under the other.
    """
    heights = [INCHES_AROUND + INCHES_A_BAR * len(panel.bars) for panel in panels]
    figure = canvas(WIDTH, max(heights) if side_by_side else sum(heights))
    if side_by_side:
        places = figure.subplots(1, len(panels), sharey=True, squeeze=False).flat
    else:
        # What an axis spans, so that the bars of all panels are equally thick.
        ratios = {"height_ratios": [len(panel.bars) + sum(BESIDE_BARS) - 1 for panel in panels]}
        places = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw=ratios).flat
    for axes, panel in zip(places, panels, strict=True):
        _draw_panel(axes, panel)
    save(figure, file)


def _draw_panel(axes: Any, panel: Panel) -> None:
    places = range(len(panel.bars))
    values = [bar.value for bar in panel.bars]
    drawn = axes.barh(places, values, color=[OURS if bar.ours else OTHERS for bar in panel.bars])
    axes.bar_label(drawn, [panel.form.format(value) for value in values], padding=3, fontsize=8)
    axes.set_yticks(places, [bar.label for bar in panel.bars])
    above, below = BESIDE_BARS
    axes.set_ylim(len(panel.bars) - 1 + below, -above)  # the first at the top
    axes.set_xlim(0, max([*values, 1e-9]) * (1 + ROOM_FOR_VALUES))
    axes.set_title(panel.quantity, fontsize=10, loc="left")
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter("{x:,.10g}")
    axes.tick_params(labelsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)


def canvas(width: float, height: float) -> Figure:
    """An empty figure of so many inches, whose parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, file: Path) -> None:
    """Write a figure."""
    figure.savefig(file, dpi=150)
