"""Figures of a study: scores over each numeric key of its grid, over trained parameters, and over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bertinchamps.durations import hours_in
from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.reporting.runs import FinetuningRun
from bertinchamps.reporting.study_grid import Cell, number, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEED, BUDGET, EXAMPLES = "seed", "budget", "few_shot.examples"
LOGARITHMIC_FROM = 8  # the largest value, in smallest ones


@dataclass(frozen=True)
class XAxis:
    """What a figure has on its x axis.

    Attributes:
        name: of the file.
        title: of the axis.
        of: the value of a cell's run.
        key: of the grid; None: a measured value, which differs between seeds.
        without: keys of the grid that tell no series apart.
    """

    name: str
    title: str
    of: Callable[[Cell, FinetuningRun], float]
    key: str | None = None
    without: tuple[str, ...] = ()


def plot_study(cells: Sequence[Cell], runs: Sequence[FinetuningRun], folder: Path) -> list[Path]:
    """Draw the headline scores of test, and those of dev of runs that did not score test.

    Args:
        cells: of the study.
        runs: finished ones, in directories with the names of the cells.
        folder: for the files.

    Returns:
        The files written, PNG and SVG: score_over_KEY for each key with several numbers, over trained parameters where
        they differ, and over minutes, where a line joins the budgets of one setting.
    """
    by_name = {cell.name: cell for cell in cells}
    known = [(by_name[run.folder.name], run) for run in runs if run.folder.name in by_name]
    if not known:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {run.sizes.get("trained_parameters") for _, run in known}
    trained = XAxis(
        "trained_parameters", "trained parameters", lambda _, run: float(run.sizes["trained_parameters"])
    )
    axes = [
        *(axis_of(key, known) for key in _numeric(cells)),
        *([trained] if len(sizes) > 1 and None not in sizes else []),
        XAxis(
            "minutes",
            "minutes of fine-tuning, on dev included",
            lambda _, run: run.cost["seconds"] / 60,
            without=tuple(key for key in cells[0].values if _bare(key).partition(".")[0] == BUDGET),
        ),
    ]
    return [file for axis in axes for file in _draw(axis, known, folder)]


def axis_of(key: str, known: Sequence[tuple[Cell, FinetuningRun]]) -> XAxis:
    """The axis of a key of the grid, whose values are numbers, lengths of time, or examples, null among them."""
    of_all = _size_of_all(known) if key == EXAMPLES else None

    def of(cell: Cell, run: FinetuningRun) -> float:
        found = _number(key, cell.values[key])
        return of_all(run) if of_all and found is None else float(found or 0)

    return XAxis(_bare(key), "minutes of budget" if _bare(key) == BUDGET else key, of, key, (key,))


def _bare(key: str) -> str:
    """A key without the plus that sets it on the command line."""
    return key.lstrip("+")


def _number(key: str, value: Any) -> float | None:
    """The number of a value, minutes for a length of time; None where it is none."""
    hours = hours_in(value) if _bare(key) == BUDGET and isinstance(value, str) else None
    return number(value) if hours is None else 60 * hours


def _numeric(cells: Sequence[Cell]) -> list[str]:
    """The keys with several values, all of them numbers; for few_shot.examples null is one, too."""
    found = []
    for key in cells[0].values:
        values = {written(cell.values[key]): cell.values[key] for cell in cells}
        numbers = [_number(key, value) for value in values.values() if value is not None or key != EXAMPLES]
        if key != SEED and len(values) > 1 and numbers and None not in numbers:
            found.append(key)
    return found


def _size_of_all(known: Sequence[tuple[Cell, FinetuningRun]]) -> Callable[[FinetuningRun], float]:
    """Where all examples of a run stand among samples: the size of train, or its share of a class.

    What was asked for is of each class or in all, as the kind has it, which the largest sample of the task shows.
    """
    asked = [(number(cell.values[EXAMPLES]), run) for cell, run in known]
    samples = sorted(((size, run) for size, run in asked if size), key=lambda pair: pair[0])
    per_asked = {run.task: _train_size(run) / size for size, run in samples}
    return lambda run: _train_size(run) / per_asked.get(run.task, 1.0)


def _train_size(run: FinetuningRun) -> float:
    counts = run.data["train"]
    return float(counts["documents"] if "documents" in counts else counts["examples"])


def points(
    axis: XAxis, known: Sequence[tuple[Cell, FinetuningRun]], task: str, protocol: str
) -> pd.DataFrame:
    """Mean and deviation over seeds.

    Args:
        axis: what the figure has on its x axis.
        known: cells and their runs, all of which show the same split.
        task: of the runs to take.
        protocol: of the scores.

    Returns:
        Columns: series (the other values of the grid, in words), x, tick, x_deviation, mean, deviation, seeds; ordered
        by series and x.
    """
    headline, names = PROTOCOLS[protocol].headline, _names([cell for cell, _ in known])
    rows = [
        (
            _series(cell, names, axis.without),
            _series(cell, names),
            x := axis.of(cell, run),
            "all" if axis.key and cell.values[axis.key] is None else f"{x:g}",
            scores[headline],
        )
        for cell, run in known
        if run.task == task and (scores := run.scores[run.split].get(protocol)) is not None
    ]
    frame = pd.DataFrame(rows, columns=["series", "setting", "x", "tick", "score"])
    grouped = frame.groupby(["series", "setting"], sort=False)
    means = grouped.agg(
        x=("x", "mean"), tick=("tick", "first"), x_deviation=("x", "std"), mean=("score", "mean"),
        deviation=("score", "std"), seeds=("score", "size"),
    )  # fmt: skip
    return means.reset_index().sort_values(["series", "x"])


def _series(cell: Cell, names: Mapping[str, Mapping[str, str]], without: Sequence[str] = ()) -> str:
    """The values of a cell but for its seed and its task, in words."""
    return (
        ", ".join(
            f"{key}={names[key][written(value)]}"
            for key, value in cell.values.items()
            if key not in (SEED, "task", *without)
        )
        or "all"
    )


def _names(cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
    """Key → value as a word → its name in a figure; values of a key have names of their own."""
    return {
        key: _shortened({written(cell.values[key]): cell.values[key] for cell in cells})
        for key in cells[0].values
    }


def _shortened(values: Mapping[str, Any]) -> dict[str, str]:
    """Word → the last parts of its value between slashes, as few as tell all values apart."""
    parts = {word: value.split("/") if isinstance(value, str) else [word] for word, value in values.items()}
    for length in range(1, 1 + max(map(len, parts.values()))):
        short = {word: "/".join(own[-length:]) for word, own in parts.items()}
        if len(set(short.values())) == len(values):
            return short
    return {word: word for word in values}


def _draw(axis: XAxis, known: Sequence[tuple[Cell, FinetuningRun]], folder: Path) -> list[Path]:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    panels = list(
        dict.fromkeys(
            (run.task, run.split, protocol) for _, run in known for protocol in run.scores[run.split]
        )
    )
    figure, all_axes = plt.subplots(
        len(panels), 1, figsize=(7, 3.4 * len(panels)), squeeze=False, layout="constrained"
    )
    for (task, split, protocol), drawn in zip(panels, all_axes[:, 0], strict=True):
        of_split = [(cell, run) for cell, run in known if run.split == split]
        _panel(axis, points(axis, of_split, task, protocol), drawn)
        described = PROTOCOLS[protocol]
        unit = ", %" if described.percent else ""
        drawn.set_ylabel(f"{described.metrics[described.headline]}{unit}", fontsize=9)
        drawn.set_title(f"{task}: {described.title.partition(':')[0]} ({split})", fontsize=9)
        if described.percent:
            drawn.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    files = [folder / f"score_over_{axis.name.replace('.', '_')}{suffix}" for suffix in (".png", ".svg")]
    for file in files:
        figure.savefig(file, dpi=150)
    plt.close(figure)
    return files


def _panel(axis: XAxis, found: pd.DataFrame, drawn: Axes) -> None:
    """Lines with bands of a deviation over a key; over what was measured, crosses."""
    for series, own in found.groupby("series", sort=False):
        if axis.key is not None:
            (line,) = drawn.plot(own["x"], own["mean"], "o-", markersize=4, label=series)
            low, high = own["mean"] - own["deviation"], own["mean"] + own["deviation"]
            drawn.fill_between(own["x"], low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        else:
            drawn.errorbar(
                own["x"],
                own["mean"],
                own["deviation"],
                own["x_deviation"],
                fmt="o-",
                markersize=4,
                capsize=2,
                label=series,
            )
    values = found["x"]
    if len(values) and values.min() > 0 and values.max() >= LOGARITHMIC_FROM * values.min():
        drawn.set_xscale("log", base=2 if axis.key else 10)
    if axis.key:
        ticks = dict(zip(values, found["tick"], strict=True))
        drawn.set_xticks(list(ticks), list(ticks.values()))
    drawn.set_xlabel(axis.title, fontsize=9)
    drawn.grid(alpha=0.3)
    if found["series"].nunique() > 1:
        drawn.legend(fontsize=7)
