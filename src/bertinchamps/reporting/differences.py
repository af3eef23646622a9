"""Whether two runs differ by more than chance, where few runs stand beside each other on the same documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import pandas as pd

from bertinchamps.metrics.intervals import TALLIES, read_tallies
from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.metrics.resampling import Difference, differences
from bertinchamps.metrics.tallies import Tally
from bertinchamps.reporting.runs import FinetuningRun
from bertinchamps.reporting.sections import Section
from bertinchamps.reporting.tables import Table

MOST_RUNS = 4  # of a section; more have too many pairs to read, and to believe
NOTE = (
    "The first run minus the second, on the same documents of {split}. Interval: paired bootstrap; p: approximate "
    "randomisation (Yeh, 2000). Seeds are not varied, and p is not corrected for the number of comparisons."
)


def difference_tables(section: Section) -> Iterator[Table]:
    """One table of all pairs of runs that kept the counts of their documents; none where there are too many runs."""
    runs = [
        (f"{setting.label}, seed {run.seed}", run) for setting in section.settings for run in setting.runs
    ]
    if not 2 <= len(runs) <= MOST_RUNS:
        return
    known = [(name, tallies) for name, run in runs if (tallies := _tallies(run, section.split))]
    rows = [
        (one, other, protocol, PROTOCOLS[protocol].headline, found)
        for (one, first), (other, second) in combinations(known, 2)
        for protocol, found in _compared(first, second)
    ]
    if not rows:
        return
    shown = pd.DataFrame([_cells(*row) for row in rows])
    records = pd.DataFrame(
        [
            {"task": section.task, "first": one, "second": other, "protocol": protocol, "score": score}
            | found._asdict()
            for one, other, protocol, score, found in rows
        ]
    )
    yield Table(
        f"{section.file_stem}_differences",
        f"{section.title}: differences ({section.split})",
        shown,
        records,
        (NOTE.format(split=section.split),),
    )


def _tallies(run: FinetuningRun, split: str) -> dict[str, Tally]:
    """What the scores of a split were computed from; a subtask has no file of its own."""
    return {} if run.trained_on else read_tallies(run.folder / "predictions" / f"{split}{TALLIES}")


def _compared(first: dict[str, Tally], second: dict[str, Tally]) -> Iterator[tuple[str, Difference]]:
    """The headline of each protocol that both runs have."""
    for protocol, tally in first.items():
        other = second.get(protocol)
        if protocol not in PROTOCOLS or other is None or type(other) is not type(tally):
            continue
        if other.documents == tally.documents:
            found = differences(tally, other).get((PROTOCOLS[protocol].headline,))
            if found is not None:
                yield protocol, found


def _cells(one: str, other: str, protocol: str, score: str, found: Difference) -> dict[str, str]:
    described = PROTOCOLS[protocol]
    digits, scale, unit = ("+.1f", 100, " points") if described.percent else ("+.3f", 1, "")
    ends: Sequence[str] = [format(scale * end, digits) for end in (found.low, found.high)]
    return {
        "first": one,
        "second": other,
        "score": f"{protocol}: {described.metrics[score]}",
        "difference": f"{format(scale * found.value, digits)}{unit}",
        "95 % interval": f"{ends[0]} to {ends[1]}",
        "p": f"{found.p:.4f}" if found.p >= 0.0001 else "< 0.0001",
    }
