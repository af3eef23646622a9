"""What a table is, and the cells and columns that all tables share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bertinchamps.reporting.sections import Mean, Section, Setting

Record = dict[str, object]


@dataclass(frozen=True)
class Table:
    """One table of the report.

    Attributes:
        file_stem: name of its CSV file, without the extension.
        title: over it.
        header: the columns.
        rows: cells, as people read them.
        records: what goes into the CSV file, unrounded; scores are shares of 1, the dev split is among them.
        notes: printed under it.
    """

    file_stem: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    records: Sequence[Record]
    notes: tuple[str, ...] = ()


def identity_columns(section: Section, setting: Setting, split: str) -> Record:
    """The columns that say in each CSV file what a record is about."""
    run = setting.runs[0]
    return {
        "task": section.task,
        "from": "ours",
        "model": run.model_label,
        "head": run.head or "",
        "setting": setting.label,
        "settings_digest": run.digest,
        "parameters": run.parameters,
        "data_fingerprint": section.data_fingerprint,
        "split": split,
        "seeds": len(setting.runs),
    }


def mean_columns(means: Mapping[str, Mean | None]) -> Record:
    """Two columns for each metric: its mean over seeds, and the deviation where there are several."""
    columns: Record = {}
    for metric, mean in means.items():
        columns[metric] = "" if mean is None else mean.value
        columns[f"{metric}_deviation"] = "" if mean is None or mean.deviation is None else mean.deviation
    return columns


def with_deviation(mean: Mean, digits: str) -> str:
    """The mean as people read it, with the deviation where there are several seeds."""
    value = format(mean.value, digits)
    return value if mean.deviation is None else f"{value} ± {format(mean.deviation, digits)}"
