"""Tables, and the columns that all CSV files of scores share."""

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
        title: heading of the table.
        shown: the cells of the page, as strings.
        records: the rows of the CSV file, unrounded; scores are shares of 1, those of the dev split included.
        notes: paragraphs under the table.
    """

    file_stem: str
    title: str
    shown: pd.DataFrame
    records: pd.DataFrame
    notes: tuple[str, ...] = ()


def identities(section: Section, settings: Iterable[Setting], split: str) -> pd.DataFrame:
    """Columns of a CSV file that identify a record: a row for each setting, numbered from 0."""
    rows = [
        {
            "task": section.task,
            "from": "ours",
            "model": setting.runs[0].model_label,
            "head": setting.runs[0].head or "",
            "setting": setting.label,
            "settings_digest": setting.runs[0].digest,
            "parameters": setting.runs[0].parameters,
            **setting.runs[0].sizes,
            "data_fingerprint": section.data_fingerprint,
            "split": split,
            "seeds": len(setting.runs),
            **({"trained_on": trained_on} if (trained_on := setting.runs[0].trained_on) else {}),
            **({"pretraining_saw": saw} if (saw := setting.saw(split)) else {}),
        }
        for setting in settings
    ]
    return pd.DataFrame(rows, dtype=object)  # object: a missing value must not turn whole numbers into floats
