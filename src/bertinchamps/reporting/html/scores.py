"""results.json → the tables of scores, errors and calibration of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bertinchamps.data.pretraining_facts import in_a_sentence
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol

SPLITS = ("test", "dev")
LONGEST_LABEL = 40  # characters; a longer one may be the text of a document
MOST_CONFUSIONS = 12
INTERVALS = "intervals"


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        title: its heading.
        header: titles of the columns.
        rows: cells, the first of which names the row.
        bars: number of the column whose cells begin with shares in percent that are drawn as bars; None: none.
        notes: paragraphs under it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: int | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Split:
    """What is shown of dev or test, of the whole task or of a subtask.

    Attributes:
        title: such as "test".
        whole: a table of each protocol.
        parts: tables by type, label or class.
        saw: whether pretraining saw the text, in a sentence; empty: not known.
    """

    title: str
    whole: list[Grid] = field(default_factory=list)
    parts: list[Grid] = field(default_factory=list)
    saw: str = ""


def splits_of(results: Mapping[str, Any]) -> list[Split]:
    """The scores of test and dev, then those of subtasks."""
    found = [
        _split(split, split, results["scores"][split], results.get("pretraining_saw", {}))
        for split in SPLITS
        if results["scores"].get(split)
    ]
    for title, own in results.get("subtasks", {}).items():
        found += [
            _split(f"{split} of {title}", split, own["scores"][split], own.get("pretraining_saw", {}))
            for split in SPLITS
            if own["scores"].get(split)
        ]
    return found


def _split(title: str, split: str, by_protocol: Mapping[str, Any], saw: Mapping[str, Any]) -> Split:
    found = Split(title, saw=in_a_sentence(saw[split], title) if split in saw else "")
    for name, scores in by_protocol.items():
        if name not in PROTOCOLS:
            continue
        protocol = PROTOCOLS[name]
        found.whole.append(_whole(name, protocol, scores))
        if parts := scores.get(protocol.parts):
            found.parts.append(_parts(name, protocol, parts, scores.get(INTERVALS, {})))
    return found


def _whole(name: str, protocol: Protocol, scores: Mapping[str, Any]) -> Grid:
    shown = [metric for metric in protocol.metrics if isinstance(scores.get(metric), int | float)]
    intervals = scores.get(INTERVALS, {})
    rows = [
        [protocol.metrics[metric], cell(scores[metric], protocol), interval(intervals.get(metric), protocol)]
        for metric in shown
    ]
    with_intervals = any(row[2] for row in rows)
    remark = protocol.remark or scores.get("remark")
    notes = [remark] if remark else []
    if with_intervals and "documents" in intervals:
        notes.append(f"Intervals: {intervals['documents']:,} documents or texts were drawn anew.")
    return Grid(
        f"{name}: {protocol.title}",
        ["score", "%" if protocol.percent else "value", *(["95 % interval"] if with_intervals else [])],
        rows if with_intervals else [row[:2] for row in rows],
        bars=1 if protocol.percent else None,
        notes=notes,
    )


def _parts(
    name: str, protocol: Protocol, parts: Mapping[str, Mapping[str, Any]], intervals: Mapping[str, Any]
) -> Grid:
    of_parts = intervals.get(protocol.parts, {})
    ordered = sorted(parts.items(), key=lambda item: (-item[1]["support"], item[0]))
    rows = [
        [
            label_of(label),
            *(cell(own[metric], protocol) for metric in ("f1", "precision", "recall")),
            f"{own['support']:,}",
            interval(of_parts.get(label, {}).get("f1"), protocol),
        ]
        for label, own in ordered
    ]
    header = [protocol.part, "F1, %", "precision, %", "recall, %", "support", "F1, 95 % interval"]
    if not of_parts:
        header, rows = header[:-1], [row[:-1] for row in rows]
    return Grid(f"{name}, by {protocol.part}", header, rows, bars=1)


def errors_of(results: Mapping[str, Any]) -> Iterator[Grid]:
    """Counts of errors by type, and the commonest confusions; without text."""
    for split, own in _in_order(results.get("errors", {})):
        rows = [[label_of(str(row[0])), *(f"{count:,}" for count in row[1:])] for row in own["rows"]]
        yield Grid(f"Errors in {split}", own["columns"], rows, notes=own.get("notes", ()))
        if confusions := own.get("confusions"):
            shown = [
                [label_of(gold), label_of(found), f"{count:,}"]
                for gold, found, count in confusions[:MOST_CONFUSIONS]
            ]
            left = len(confusions) - len(shown)
            yield Grid(
                f"Confusions in {split}",
                ["gold", "predicted", "times"],
                shown,
                notes=[f"{left:,} rarer ones are not shown."] if left else (),
            )


def folds_of(results: Mapping[str, Any]) -> Iterator[Grid]:
    """The scores of cross-validation."""
    own = results.get("cross_validation", {})
    for name, scores in own.get("scores", {}).items():
        if name not in PROTOCOLS:
            continue
        protocol = PROTOCOLS[name]
        rows = [
            [
                protocol.metrics[metric],
                f"{cell(each['mean'], protocol)} ± {cell(each['deviation'], protocol)}",
                cell(each["together"], protocol) if "together" in each else "",
                interval(each.get("interval"), protocol),
                "  ".join(cell(value, protocol) for value in each["by_fold"]),
            ]
            for metric, each in scores.items()
            if metric in protocol.metrics
        ]
        note = f"{own['folds']} folds of {own['documents']:,} documents or texts, which their model has not seen."
        header = ["score", "mean ± deviation", "all together", "95 % interval", "folds"]
        yield Grid(
            f"{name}, cross-validation", header, rows, bars=1 if protocol.percent else None, notes=[note]
        )


class Reliability(NamedTuple):
    """A reliability diagram: a bar for each bin, in percent of the diagram's sides.

    Attributes:
        title: its heading.
        bars: of each bin left end, width, height, opacity (the more predictions, the higher) and words.
        words: the diagram in a sentence.
    """

    title: str
    bars: list[tuple[float, float, float, float, str]]
    words: str


def calibration_of(results: Mapping[str, Any]) -> Iterator[Reliability]:
    """The diagrams of dev and test."""
    for split, own in _in_order(results.get("calibration", {})):
        most = max(each["decisions"] for each in own["bins"])
        bars = [
            (
                100 * each["from"],
                100 * (each["to"] - each["from"]),
                100 * each["right"],
                round(0.3 + 0.7 * each["decisions"] / most, 2),
                f"confidence {100 * each['from']:.0f} to {100 * each['to']:.0f} %: {100 * each['right']:.1f} % of "
                f"{each['decisions']:,} right",
            )
            for each in own["bins"]
        ]
        words = (
            f"{own['decisions']:,} predictions: mean confidence {100 * own['confidence']:.1f} %, right "
            f"{100 * own['right']:.1f} %; expected calibration error {100 * own['ece']:.1f} points."
        )
        yield Reliability(f"Confidence and truth, {split}", bars, words)


def _in_order(by_split: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Test before dev."""
    return ((split, by_split[split]) for split in SPLITS if split in by_split)


def cell(value: float, protocol: Protocol) -> str:
    """A score as people read it."""
    return f"{100 * value:.1f}" if protocol.percent else f"{value:.3f}"


def interval(ends: Any, protocol: Protocol) -> str:
    """An interval as people read it; empty if there is none."""
    return f"{cell(ends[0], protocol)} – {cell(ends[1], protocol)}" if ends else ""


def label_of(label: str) -> str:
    """A label; only the length of one so long that it may be a document's text."""
    return label if len(label) <= LONGEST_LABEL else f"(a label of {len(label)} characters)"
