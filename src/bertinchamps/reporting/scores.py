"""Tables of scores: for each protocol one of whole splits, and one by type, label or class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bertinchamps.data.pretraining_facts import in_a_cell
from bertinchamps.metrics.intervals import INTERVALS
from bertinchamps.metrics.protocols import PART_METRICS, PROTOCOLS, Protocol
from bertinchamps.reporting.means import columns_of, over_seeds, with_deviation
from bertinchamps.reporting.published import PublishedScore
from bertinchamps.reporting.sections import SPLITS, Section, Setting
from bertinchamps.reporting.tables import Table, identities

ABSENT = "–"
SAW = "{split}'s text in pretraining"
NOT_MEASURED = in_a_cell(None)
IN_BRACKETS = (
    "In brackets: the 95 % interval over samples of the {split} documents, of one run; "
    "docs/metrics.md says how."
)


def score_tables(section: Section) -> list[Table]:
    """The tables of a section: for each protocol the whole split, then its parts where runs have them."""
    tables = []
    for name in section.protocols:
        tables.append(_whole_table(section, name))
        labels = _labels(section, name)
        if labels:
            tables.append(_part_table(section, name, labels))
    return tables


def _whole_table(section: Section, name: str) -> Table:
    protocol = PROTOCOLS[name]
    settings = section.scored(section.split, name)
    cells = _cells(_whole_means(settings, section.split, name), protocol).unstack("metric")
    shown = cells.reindex(columns=list(protocol.metrics))
    _add_intervals(shown, settings, section.split, name)
    shown.columns = list(protocol.metrics.values())
    shown.insert(0, "model", [setting.label for setting in settings])
    shown.insert(1, "parameters", [_parameters(setting) for setting in settings])
    if any(setting.saw(section.split) for setting in settings):
        shown[SAW.format(split=section.split)] = [
            setting.saw(section.split) or NOT_MEASURED for setting in settings
        ]
    shown["from"] = [f"ours, {setting.seeds}" for setting in settings]
    published = [score for score in section.published if score.protocol == name]
    remarks = [
        scores["remark"]
        for setting in settings
        for scores in setting.scores(section.split, name)
        if scores.get("remark")
    ]
    has_intervals = any(_intervals(setting, section.split, name) for setting in settings)
    drawn = [IN_BRACKETS.format(split=section.split)] if has_intervals else []
    unit = f"{section.split}, %" if protocol.percent else section.split
    return Table(
        file_stem=f"{section.file_stem}_{name}",
        title=f"{section.title}: {protocol.title} ({unit})",
        shown=pd.concat([shown, *(_published_row(score, protocol) for score in published)]).fillna(ABSENT),
        records=pd.concat(
            [
                *(_whole_records(section, split, name) for split in SPLITS),
                *(_published_record(score) for score in published),
            ]
        ),
        notes=tuple(dict.fromkeys([*([protocol.remark] if protocol.remark else []), *remarks, *drawn])),
    )


def _add_intervals(shown: pd.DataFrame, settings: Sequence[Setting], split: str, name: str) -> None:
    """Write the 95 % interval behind each score of a setting of one run that has it."""
    protocol = PROTOCOLS[name]
    digits, scale = (".1f", 100) if protocol.percent else (".3f", 1)
    for number, ends in enumerate(_intervals(setting, split, name) for setting in settings):
        for metric in protocol.metrics:
            if metric in ends:
                low, high = (format(scale * end, digits) for end in ends[metric])
                shown.loc[number, metric] = f"{shown.loc[number, metric]} [{low}, {high}]"


def _intervals(setting: Setting, split: str, name: str) -> Mapping[str, Sequence[float]]:
    """Name of a score → its interval; none where several seeds are averaged."""
    found = setting.scores(split, name)
    return found[0].get(INTERVALS, {}) if len(found) == 1 else {}


def _whole_means(settings: Sequence[Setting], split: str, name: str) -> pd.DataFrame:
    """Means over seeds of the scores of whole splits, by number of the setting."""
    return over_seeds(
        [
            (number, metric, scores[metric])
            for number, setting in enumerate(settings)
            for scores in setting.scores(split, name)
            for metric in PROTOCOLS[name].metrics
            if metric in scores
        ],
        ["number"],
    )


def _whole_records(section: Section, split: str, name: str) -> pd.DataFrame | None:
    settings = section.scored(split, name)
    if not settings:
        return None
    means = columns_of(_whole_means(settings, split, name), PROTOCOLS[name].metrics)
    ends = [_intervals(setting, split, name) for setting in settings]
    limits = {
        f"{metric}_{side}": [own[metric][at] if metric in own else None for own in ends]
        for metric in PROTOCOLS[name].metrics
        for at, side in enumerate(("low", "high"))
        if any(metric in own for own in ends)
    }
    return identities(section, settings, split).join(means).assign(**limits)


def _published_row(score: PublishedScore, protocol: Protocol) -> pd.DataFrame:
    cells = {
        title: _cell(score.scores[metric], score.deviations.get(metric, float("nan")), protocol)
        if metric in score.scores
        else ABSENT
        for metric, title in protocol.metrics.items()
    }
    origin = f"published: {score.source}"
    return pd.DataFrame([{"model": score.model, "parameters": ABSENT, **cells, "from": origin}])


def _published_record(score: PublishedScore) -> pd.DataFrame:
    record = {"task": score.task, "from": score.source, "model": score.model, "split": "test"}
    deviations = {f"{metric}_deviation": value for metric, value in score.deviations.items()}
    return pd.DataFrame([{**record, "seeds": score.seeds, **score.scores, **deviations}], dtype=object)


def _labels(section: Section, name: str) -> list[str]:
    """Every type, label or class that a run was scored on."""
    key = PROTOCOLS[name].parts
    return sorted(
        {
            label
            for setting in section.scored(section.split, name)
            for scores in setting.scores(section.split, name)
            for label in scores.get(key, {})
        }
    )


def _part_table(section: Section, name: str, labels: list[str]) -> Table:
    protocol = PROTOCOLS[name]
    settings = section.scored(section.split, name)
    values = _part_values(settings, section.split, name, labels)
    f1 = over_seeds([value for value in values if value[2] == "f1"], ["number", "part"])
    shown = _cells(f1.droplevel("metric"), protocol).unstack("number").reindex(labels).fillna(ABSENT)
    shown.columns = [setting.label for setting in settings]
    supports = pd.DataFrame(
        [(part, value) for _, part, metric, value in values if metric == "support"],
        columns=["part", "support"],
    )
    shown.insert(0, "support", supports.groupby("part")["support"].agg(_range).reindex(labels))
    shown.insert(0, protocol.part, labels)
    return Table(
        file_stem=f"{section.file_stem}_{name}_by_{protocol.part}",
        title=f"{section.title}: F1 by {protocol.part}, protocol {name} ({section.split}, %)",
        shown=shown,
        records=pd.concat([_part_records(section, split, name, labels) for split in SPLITS]),
        notes=(protocol.remark,) if protocol.remark else (),
    )


def _part_values(
    settings: Sequence[Setting], split: str, name: str, labels: Sequence[str]
) -> list[tuple[int, str, str, float]]:
    """(number of the setting, type or label or class, metric, value) for each run with a score of that part."""
    return [
        (number, label, metric, scores[PROTOCOLS[name].parts][label][metric])
        for number, setting in enumerate(settings)
        for scores in setting.scores(split, name)
        for label in labels
        if label in scores.get(PROTOCOLS[name].parts, {})
        for metric in PART_METRICS
    ]


def _part_records(section: Section, split: str, name: str, labels: Sequence[str]) -> pd.DataFrame | None:
    settings = section.scored(split, name)
    values = _part_values(settings, split, name, labels)
    if not values:
        return None
    means = over_seeds(values, ["number", "part"])
    columns = columns_of(means, PART_METRICS)
    seeds = means.xs("f1", level="metric")["seeds"]
    columns.insert(0, "seeds", seeds)
    columns.insert(1, PROTOCOLS[name].part, columns.index.get_level_values("part"))
    identity = identities(section, settings, split).rename_axis("number").drop(columns="seeds")
    return identity.join(columns, how="inner")


def _cells(means: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """The means as people read them, in the same index."""
    pairs = zip(means["mean"], means["deviation"], strict=True)
    return pd.Series([_cell(*pair, protocol) for pair in pairs], index=means.index, dtype=object)


def _cell(mean: float, deviation: float, protocol: Protocol) -> str:
    return (
        with_deviation(mean, deviation, ".1f", 100)
        if protocol.percent
        else with_deviation(mean, deviation, ".3f")
    )


def _range(supports: Sequence[float]) -> str:
    """One support, or a range: the support of labels of subwords depends on the tokenizer."""
    return "–".join(f"{support:,}" for support in dict.fromkeys((min(supports), max(supports))))


def _parameters(setting: Setting) -> str:
    return " / ".join(f"{n:,}" for n in sorted({run.parameters for run in setting.runs}))
