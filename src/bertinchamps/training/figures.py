"""The paper's figure 1: masked-language-modelling loss against steps and, on a log axis, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertinchamps.training.hooks import read_metrics

TRAIN_COLOUR, HELD_OUT_COLOUR = "#9aa5b1", "#b3282d"


def draw_losses(run: Path) -> None:
    """Draw the loss curves of a run into its directory: loss.png and loss.svg."""
    plot_loss(read_metrics(run / "metrics.jsonl"), run.name, run / "loss")


def plot_loss(records: Sequence[dict[str, Any]], title: str, file_stem: Path) -> list[Path]:
    """Draw the loss curves of a run.

    Args:
        records: those of metrics.jsonl.
        title: over both panels.
        file_stem: path without extension.

    Returns:
        The files written: PNG and SVG.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    train = [record for record in records if record["kind"] == "train" and "loss" in record]
    held_out = [record for record in records if record["kind"] == "held_out" and "loss" in record]
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for panel, axis in zip(panels, ("step", "tokens"), strict=True):
        held_out = [record for record in held_out if axis == "step" or record["tokens"] > 0]  # no log of 0
        smoothed = _moving_average([record["loss"] for record in train], max(1, len(train) // 100))
        panel.plot(
            [record[axis] for record in train],
            smoothed,
            color=TRAIN_COLOUR,
            label="training, at its own mask, smoothed",
        )
        panel.plot(
            [record[axis] for record in held_out],
            [record["loss"] for record in held_out],
            color=HELD_OUT_COLOUR,
            marker="o",
            markersize=3,
            label="held out, 15 % masked",
        )
        panel.set_xlabel({"step": "steps (updates)", "tokens": "tokens (log scale)"}[axis])
        panel.grid(alpha=0.3)
    panels[1].set_xscale("log")
    panels[0].set_ylabel("loss (nats)")
    panels[0].legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    files = [file_stem.with_suffix(suffix) for suffix in (".png", ".svg")]
    for file in files:
        figure.savefig(file, dpi=150)
    plt.close(figure)
    return files


def _moving_average(values: Sequence[float], width: int) -> list[float]:
    """Mean of each value and up to `width` - 1 before it."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    return [(sums[i + 1] - sums[max(0, i + 1 - width)]) / min(i + 1, width) for i in range(len(values))]
