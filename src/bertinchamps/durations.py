"""Lengths of time as people write them: a number and a unit, such as 90s, 5m, 1.5h or 2d."""

from __future__ import annotations

import re

HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0}  # of a unit
LENGTH = re.compile(rf"(\d+(?:\.\d+)?)([{''.join(HOURS)}])")


def hours_in(text: str) -> float | None:
    """The hours of a length of time; None where the text is none."""
    found = LENGTH.fullmatch(text)
    return float(found[1]) * HOURS[found[2]] if found else None
