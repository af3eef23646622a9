"""Means and deviations over seeds, with pandas."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import pandas as pd


def over_seeds(values: Iterable[tuple[object, ...]], by: Sequence[str]) -> pd.DataFrame:
    """Average values over seeds.

    Args:
        values: for each value of a run a tuple of its group, its metric and the value.
        by: names of the fields of a group, in the order of the tuples.

    Returns:
        Index: `by` and "metric", sorted. Columns: mean; deviation, the sample standard deviation, NaN for one seed;
        seeds, their number.
    """
    groups = [*by, "metric"]
    frame = pd.DataFrame(values, columns=[*groups, "value"])
    return frame.groupby(groups)["value"].agg(mean=mean, deviation=deviation, seeds="size")


def mean(values: Iterable[float]) -> float:
    """The mean of at least one value, rounded once (pandas rounds at each addition)."""
    return statistics.fmean(values)


def deviation(values: Iterable[float]) -> float:
    """The sample standard deviation; NaN for one value."""
    numbers = [float(value) for value in values]
    return statistics.stdev(numbers) if len(numbers) > 1 else float("nan")


def columns_of(means: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """A row for each group; for each metric a column of its mean and one of its deviation; NaN where there is none."""
    wide = means[["mean", "deviation"]].unstack("metric")
    wide.columns = [name if kind == "mean" else f"{name}_deviation" for kind, name in wide.columns]
    return wide.reindex(columns=[column for metric in metrics for column in (metric, f"{metric}_deviation")])


def with_deviation(mean: float, deviation: float, digits: str, scale: float = 1) -> str:
    """The mean as people read it, followed by the deviation where there are several seeds.

    Args:
        mean, deviation: as `over_seeds` gives them.
        digits: format of both numbers.
        scale: factor of both numbers.
    """
    shown = format(scale * mean, digits)
    return shown if deviation != deviation else f"{shown} ± {format(scale * deviation, digits)}"
