"""Settings of the commands that use what was trained: `predict` and `report`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bertinchamps.schemas.knobs import Node, knob
from bertinchamps.schemas.shared import EngineConfig, ReadingConfig, RuntimeConfig


@dataclass
class PredictConfig:
    """Settings of `python -m bertinchamps.predict`."""

    model: Any = knob(
        "last",
        "last (the newest fine-tuned run in runs_dir), a run's directory, or its model/; several: 'model=[A,B]'",
    )
    ner: str | None = knob(
        None, "for relations: a fine-tuned model that finds the entities first; null: the input has them"
    )
    input: str = knob("-", "a file, a folder, or - for standard input")
    output: str = knob(
        "-",
        "a folder for brat or for several models, a file for the other formats; - is standard output, which gets "
        "jsonl, csv or tsv",
    )
    format: str = knob(
        "auto",
        "auto (by output's name), jsonl, csv or tsv; for entities also brat, conll, html, txt, label_studio, doccano, "
        "prodigy or xmi, for relations brat",
    )
    text_field: str = knob("text", "the key or column that holds the text, in files that have several")
    id_field: str | None = knob(
        None, "the key or column that holds each text's id; null: `id` where there is one"
    )
    pair_field: str | None = knob(None, "the key or column of the second text, for models of pairs")
    layers: list[str] = knob(
        ["NamedEntity.value"],
        "of XMI, for relations: the layers that hold the entities, TYPE.FEATURE, or TYPE where its name is the label",
    )
    base: str | None = knob(
        None,
        "of an adapter: the encoder it was trained on, if it is not where it was; a directory, or a name on the Hub",
    )
    on_error: str = knob(
        "stop",
        "what a record of input that cannot be read does: stop, or skip, which leaves it out and counts it",
    )
    deidentify: Node = knob({}, "what stands instead of entities: {name, **settings}; none: they stay")
    limits: ReadingConfig = field(default_factory=ReadingConfig)
    batch: int = knob(64, "examples scored at once")
    runtime: EngineConfig = field(default_factory=EngineConfig)
    runs_dir: str = knob("runs", "where model=last looks")


@dataclass
class SuggestConfig:
    """Settings of `python -m bertinchamps.suggest`."""

    model: str = knob(
        "last", "last (the newest fine-tuned run in runs_dir), a run's directory, or its model/"
    )
    input: str = knob("???", "the texts to choose from: a folder of .txt, or a .csv, .tsv or .jsonl")
    count: int = knob(50, "texts to annotate next")
    method: str = knob(
        "uncertainty", "uncertainty of the model, diversity of the texts, both, or random, for comparison"
    )
    annotated: str | None = knob(
        None, "texts that are annotated already, as input: they and what is near them are not chosen again"
    )
    ranking: str = knob("suggested.jsonl", "a new .jsonl or .csv: the ids of the chosen texts, best first")
    output: str | None = knob(
        None, "the chosen texts with what the model predicts, for annotators to correct; null: none"
    )
    format: str = knob(
        "auto", "of output, as for predict: auto, brat, label_studio, doccano, prodigy, xmi, …"
    )
    text_field: str = knob("text", "the key or column that holds the text, in files that have several")
    id_field: str | None = knob(
        None, "the key or column that holds each text's id; null: `id` where there is one"
    )
    base: str | None = knob(None, "of an adapter: the encoder it was trained on, if it is not where it was")
    on_error: str = knob(
        "stop",
        "what a record of input that cannot be read does: stop, or skip, which leaves it out and counts it",
    )
    limits: ReadingConfig = field(default_factory=ReadingConfig)
    batch: int = knob(64, "examples scored at once")
    seed: int = knob(0, "of method=random, and of the choice between texts that are equally good")
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    runs_dir: str = knob("runs", "where model=last looks")


@dataclass
class TuneConfig:
    """Settings of `python -m bertinchamps.tune`."""

    plan: str = knob(
        "???",
        "a yaml file: `settings` of finetune in every trial, what to `search`, and for `each` of which values",
    )
    folder: str | None = knob(
        None, "of the trials (tuning/NAME of the plan); a search that was begun there goes on"
    )
    trials: int = knob(20, "fine-tunings in all, those that are there included")
    seed: int = knob(0, "of the search; the seed of the trials is a setting of the plan")


@dataclass
class StudyConfig:
    """Settings of `python -m bertinchamps.study`."""

    plan: str = knob(
        "???", "a yaml file: `settings` of finetune in every run, a `grid` of key → values, and `where`"
    )
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
class PurgeConfig:
    """Settings of `python -m bertinchamps.purge`."""

    runs: list[str] = knob([], "directories of runs, of either command; words without = mean the same")
    keep: str = knob(
        "model", "model: weights and tokenizer stay; record: settings, metrics and scores alone stay"
    )
    corpus: bool = knob(
        True,
        "also from the cache: corpus and tokenizer of a run of pretrain, paths of files, examples of killed processes",
    )
    remove: bool = knob(False, "true: remove it, for good; false: only tell what would be removed")


@dataclass
class ExportConfig:
    """Settings of `python -m bertinchamps.export`."""

    model: str = knob(
        "last",
        "last (the newest finished run in runs_dir), a run's directory, or its model/; of either command",
    )
    output: str = knob("exported", "a new directory")
    format: Node = knob({}, "which program opens the result: {name, **settings}")
    license: str | None = knob(
        None,
        "of the model, for its card, as the Hub writes it (apache-2.0); null: the card says that none was chosen",
    )
    base: str | None = knob(None, "of an adapter: the encoder it was trained on, if it is not where it was")
    runs_dir: str = knob("runs", "where model=last looks")


@dataclass
class MeasureConfig:
    """What the table of `compress` measures: each model in turn, several times; medians are shown."""

    texts: int = knob(
        64, "texts that models are timed on, at the most: of dev, or those of texts= that score"
    )
    batch: int = knob(32, "texts of a batch")
    repeats: int = knob(5, "of each measure; 0: nothing is timed")


@dataclass
class CompressConfig:
    """Settings of `python -m bertinchamps.compress`."""

    model: str = knob(
        "last",
        "last (the newest finished run in runs_dir), a run's directory, or its model/; of either command",
    )
    output: str = knob("compressed", "a new directory")
    steps: list[Node] = knob(
        [], "what is done, in this order: [{name, **settings}]; target= gives a whole list"
    )
    examples: Node = knob(
        {}, "settings of the run's task that are others now: +examples.KEY=PLACE for its task.KEY; {}: none"
    )
    texts: list[str] = knob(
        [],
        "texts without labels, PATH or PATH::PART: their pieces stay in the vocabulary, and they judge and score a "
        "masked language model",
    )
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    base: str | None = knob(None, "of an adapter: the encoder it was trained on, if it is not where it was")
    runtime: EngineConfig = field(default_factory=EngineConfig)
    seed: int = knob(0, "of samples and of training between steps")
    runs_dir: str = knob("runs", "where model=last looks")


@dataclass
class DemoNotesConfig:
    """Settings of `python -m bertinchamps.demo_notes`."""

    folder: str = knob("demo", "a new folder for everything")
    notes: int = knob(2000, "notes to pretrain on, about 0.5 kB each")
    annotated: int = knob(200, "annotated notes: eight tenths in train, one in dev, one in test")
    letters: int = knob(12, "letters with names, dates and numbers")
    seed: int = knob(0, "another seed writes other notes of the same kind")


@dataclass
class PublishConfig:
    """Settings of `python -m bertinchamps.publish`."""

    model: str = knob("exported", "a directory that `python -m bertinchamps.export` wrote, and nothing else")
    repo: str = knob("???", "owner/name of the repository; it is made where there is none")
    private: bool = knob(True, "true: nobody else sees a new repository, and a public one is refused")
    dry_run: bool = knob(False, "true: say what would be sent, and send nothing")


@dataclass
class ReportConfig:
    """Settings of `python -m bertinchamps.report`."""

    runs_dir: str = knob("runs", "gather every run below this directory, at any depth")
    runs: list[str] = knob(
        [], "gather these runs alone, or what is below these directories; words without = mean the same"
    )
    output: str = knob("report", "directory for report.html, report.md, its CSV files and its figure")
