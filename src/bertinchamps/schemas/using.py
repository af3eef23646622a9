"""Settings of the commands that use what was trained: `predict` and `report`."""

from __future__ import annotations

from dataclasses import dataclass, field

from bertinchamps.schemas.knobs import Node, knob
from bertinchamps.schemas.shared import EngineConfig


@dataclass
class PredictConfig:
    """Settings of `python -m bertinchamps.predict`."""

    model: str = knob(
        "last", "last (the newest fine-tuned run in runs_dir), a run's directory, or its model/"
    )
    ner: str | None = knob(
        None, "for relations: a fine-tuned model that finds the entities first; null: the input has them"
    )
    input: str = knob("-", "a file, a folder, or - for standard input")
    output: str = knob(
        "-",
        "a folder for brat, a file for the other formats; - is standard output, which gets jsonl, csv or tsv",
    )
    format: str = knob(
        "auto",
        "auto (by output's name), jsonl, csv or tsv; for entities also brat, conll, html or txt, for relations brat",
    )
    text_field: str = knob("text", "the key or column that holds the text, in files that have several")
    id_field: str | None = knob(
        None, "the key or column that holds each text's id; null: `id` where there is one"
    )
    pair_field: str | None = knob(None, "the key or column of the second text, for models of pairs")
    base: str | None = knob(
        None,
        "of an adapter: the encoder it was trained on, if it is not where it was; a directory, or a name on the Hub",
    )
    deidentify: Node = knob({}, "what stands instead of entities: {name, **settings}; none: they stay")
    batch: int = knob(64, "examples scored at once")
    runtime: EngineConfig = field(default_factory=EngineConfig)
    runs_dir: str = knob("runs", "where model=last looks")


@dataclass
class TuneConfig:
    """Settings of `python -m bertinchamps.tune`."""

    plan: str = knob("???", "a yaml file: `settings` of finetune in every trial, and what to `search`")
    folder: str | None = knob(
        None, "of the trials (tuning/NAME of the plan); a search that was begun there goes on"
    )
    trials: int = knob(20, "fine-tunings in all, those that are there included")
    seed: int = knob(0, "of the search; the seed of the trials is a setting of the plan")


@dataclass
class StudyConfig:
    """Settings of `python -m bertinchamps.study`."""

    plan: str = knob("???", "a yaml file: `settings` of finetune in every run, and a `grid` of key → values")
    folder: str | None = knob(
        None,
        "of runs, logs, tables and figures (studies/NAME of the plan); a study that was begun there goes on",
    )


@dataclass
class MergeConfig:
    """Settings of `python -m bertinchamps.merge`."""

    model: str = knob(
        "last",
        "a run with an adapter: last (the newest fine-tuned one in runs_dir), a run's directory, or its model/",
    )
    output: str = knob("merged", "a new directory for the whole model")
    base: str | None = knob(None, "the encoder that the adapter was trained on, if it is not where it was")
    runs_dir: str = knob("runs", "where model=last looks")


@dataclass
class ExportConfig:
    """Settings of `python -m bertinchamps.export`."""

    model: str = knob(
        "last",
        "last (the newest finished run in runs_dir), a run's directory, or its model/; of either command",
    )
    output: str = knob("exported", "a new directory")
    format: Node = knob({}, "which program opens the result: {name, **settings}")
    base: str | None = knob(None, "of an adapter: the encoder it was trained on, if it is not where it was")
    runs_dir: str = knob("runs", "where model=last looks")


@dataclass
class ReportConfig:
    """Settings of `python -m bertinchamps.report`."""

    runs_dir: str = knob("runs", "gather every run below this directory, at any depth")
    output: str = knob("report", "directory for report.md, its CSV files and its figure")
