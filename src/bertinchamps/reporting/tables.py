"""What a table is, and the columns that all CSV files share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from bertinchamps.reporting.sections import Section, Setting


@dataclass(frozen=True)
class Table:
    """One table of the report.

    Attributes:
        file_stem: name of its CSV file, without the extension.
        title: over it.
        shown: the cells as people read them.
        records: what goes into the CSV file, unrounded; scores are shares of 1, the dev split is among them.
        notes: printed under it.
    """

    file_stem: str
    title: str
    shown: pd.DataFrame
    records: pd.DataFrame
    notes: tuple[str, ...] = ()


def identities(section: Section, settings: Iterable[Setting], split: str) -> pd.DataFrame:
    """A row for each setting, numbered from 0: the columns that say in each CSV file what a record is about."""
    rows = [
        {
            "task": section.task,
            "from": "ours",
            "model": setting.runs[0].model_label,
            "head": setting.runs[0].head or "",
            "setting": setting.label,
            "settings_digest": setting.runs[0].digest,
            "parameters": setting.runs[0].parameters,
            "data_fingerprint": section.data_fingerprint,
            "split": split,
            "seeds": len(setting.runs),
        }
        for setting in settings
    ]
    return pd.DataFrame(rows, dtype=object)  # object: a missing value must not turn whole numbers into floats
