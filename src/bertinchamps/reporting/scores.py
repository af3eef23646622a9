"""Tables of scores: for each protocol one of whole splits, and one by type, tag or class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bertinchamps.metrics.protocols import PART_METRICS, PROTOCOLS, Protocol
from bertinchamps.reporting.published import Figure
from bertinchamps.reporting.sections import Mean, Section, Setting
from bertinchamps.reporting.tables import Record, Table, identity_columns, mean_columns, with_deviation

NAMES = {
    "f1": "F1", "macro_f1": "macro F1", "micro_f1": "micro F1", "weighted_f1": "weighted F1",
    "exact_match": "all labels right", "pearson": "Pearson", "spearman": "Spearman",
    "mean_absolute_error": "mean absolute error", "root_mean_squared_error": "root mean squared error",
}  # fmt: skip
ABSENT = "–"


def score_tables(section: Section) -> list[Table]:
    """The tables of a section: for each protocol the whole split, then its parts where runs tell them."""
    tables = []
    for name in section.protocols:
        tables.append(_whole_table(section, name))
        labels = _part_labels(section, name)
        if labels:
            tables.append(_part_table(section, name, labels))
    return tables


def _whole_table(section: Section, name: str) -> Table:
    protocol = PROTOCOLS[name]
    settings = section.scored("test", name)
    figures = [figure for figure in section.figures if figure.protocol == name]
    rows = [
        [
            setting.label,
            _parameters(setting),
            *(_cell(_mean(setting, "test", name, metric), protocol) for metric in protocol.metrics),
            f"ours, {setting.seeds}",
        ]
        for setting in settings
    ]
    rows += [
        [
            figure.model,
            ABSENT,
            *(_cell(_published_mean(figure, metric), protocol) for metric in protocol.metrics),
            f"published: {figure.source}",
        ]
        for figure in figures
    ]
    records = [
        {**identity_columns(section, setting, split), **_columns(setting, split, name)}
        for split in ("test", "dev")
        for setting in section.scored(split, name)
    ]
    records += [_published_record(section, figure) for figure in figures]
    remarks = [
        scores["remark"]
        for setting in settings
        for scores in setting.scores("test", name)
        if scores.get("remark")
    ]
    notes = tuple(dict.fromkeys([*([protocol.remark] if protocol.remark else []), *remarks]))
    unit = "test, %" if protocol.percent else "test"
    return Table(
        file_stem=f"{section.file_stem}_{name}",
        title=f"{section.title}: {protocol.title} ({unit})",
        header=["model", "parameters", *(NAMES.get(metric, metric) for metric in protocol.metrics), "from"],
        rows=rows,
        records=records,
        notes=notes,
    )


def _part_labels(section: Section, name: str) -> list[str]:
    """Every type, tag or class that some run was scored on."""
    key = PROTOCOLS[name].parts
    return sorted(
        {
            label
            for setting in section.scored("test", name)
            for scores in setting.scores("test", name)
            for label in scores.get(key, {})
        }
    )


def _part_table(section: Section, name: str, labels: list[str]) -> Table:
    protocol = PROTOCOLS[name]
    settings = section.scored("test", name)
    what = {"types": "type", "labels": "label", "classes": "class"}[protocol.parts]
    rows = []
    for label in labels:
        parts = [_parts(setting, "test", name, label) for setting in settings]
        f1 = [_cell(_part_mean(found, "f1"), protocol) for found in parts]
        rows.append([label, _support(part for found in parts for part in found), *f1])
    records: list[Record] = [
        {
            **identity_columns(section, setting, split),
            "seeds": len(found),
            what: label,
            **mean_columns({metric: _part_mean(found, metric) for metric in PART_METRICS}),
        }
        for split in ("test", "dev")
        for setting in section.scored(split, name)
        for label in labels
        if (found := _parts(setting, split, name, label))
    ]
    return Table(
        file_stem=f"{section.file_stem}_{name}_by_{what}",
        title=f"{section.title}: F1 by {what}, protocol {name} (test, %)",
        header=[what, "support", *(setting.label for setting in settings)],
        rows=rows,
        records=records,
        notes=(protocol.remark,) if protocol.remark else (),
    )


def _published_record(section: Section, figure: Figure) -> Record:
    identity = {"task": section.task, "from": figure.source, "model": figure.model, "split": "test"}
    metrics = PROTOCOLS[figure.protocol].metrics
    columns = mean_columns({metric: _published_mean(figure, metric) for metric in metrics})
    return {**identity, "seeds": figure.seeds or "", **columns}


def _columns(setting: Setting, split: str, name: str) -> Record:
    metrics = PROTOCOLS[name].metrics
    return mean_columns({metric: _mean(setting, split, name, metric) for metric in metrics})


def _mean(setting: Setting, split: str, name: str, metric: str) -> Mean:
    return Mean.over(scores[metric] for scores in setting.scores(split, name))


def _published_mean(figure: Figure, metric: str) -> Mean | None:
    value = figure.scores.get(metric)
    return None if value is None else Mean(value, figure.deviations.get(metric))


def _parts(setting: Setting, split: str, name: str, label: str) -> list[Mapping[str, float]]:
    """The scores of a type, tag or class in each run that met it."""
    key = PROTOCOLS[name].parts
    return [scores[key][label] for scores in setting.scores(split, name) if label in scores.get(key, {})]


def _part_mean(parts: Sequence[Mapping[str, float]], metric: str) -> Mean | None:
    return Mean.over(part[metric] for part in parts) if parts else None


def _support(parts: Iterable[Mapping[str, float]]) -> str:
    """One number, or a range: where tags of pieces are counted, it depends on the model's tokenizer."""
    supports = [part["support"] for part in parts]
    ends = dict.fromkeys((min(supports), max(supports)))
    return "–".join(f"{support:,}" for support in ends)


def _cell(mean: Mean | None, protocol: Protocol) -> str:
    if mean is None:
        return ABSENT
    if not protocol.percent:
        return with_deviation(mean, ".3f")
    deviation = None if mean.deviation is None else 100 * mean.deviation
    return with_deviation(Mean(100 * mean.value, deviation), ".1f")


def _parameters(setting: Setting) -> str:
    return " / ".join(f"{n:,}" for n in sorted({run.parameters for run in setting.runs}))
