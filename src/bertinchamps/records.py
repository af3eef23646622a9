"""Keys of the records in metrics.jsonl and summary.json, and what earlier versions called them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "share_of_peak_flops": "mfu",
    "number": "regression",
}  # the key in runs of earlier versions → the key


def with_current_keys(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run of any version with the keys of this version, in the same order."""
    return {RENAMED.get(key, key): value for key, value in record.items()}
