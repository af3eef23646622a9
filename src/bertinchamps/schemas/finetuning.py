"""Settings of `finetune`."""

from __future__ import annotations

from dataclasses import dataclass, field

from bertinchamps.schemas.knobs import Node, knob
from bertinchamps.schemas.shared import (
    ArchConfig,
    BatchConfig,
    BudgetConfig,
    CheckpointConfig,
    CostConfig,
    ReadingConfig,
    RunReportConfig,
    RuntimeConfig,
    TokenizerConfig,
)


@dataclass
class FinetuneBatchConfig(BatchConfig):
    """An update averages micro-batches of examples of similar length."""

    micro_batch: int = knob(8, "examples that go through the model at once")
    size: int = knob(8, "examples in an update")
    ramp: float = knob(0.0, "progress at which the full size is reached, linearly; 0: from the start")
    evaluation: int = knob(8, "examples scored at once")


@dataclass
class SelectionConfig:
    """Which weights are kept: the best on dev, evaluated at the end of epochs. Test is scored once, with these."""

    every_epochs: float = knob(1.0, "epochs between two evaluations on dev")
    metric: str | None = knob(
        None, "a dev score, the higher the better (default: the task's first: strict_f1, accuracy, …)"
    )
    patience: int | None = knob(None, "evaluations without a better score before training stops; null: all")
    thresholds: str = knob(
        "fixed",
        "what probability makes a span an entity (head=nested), a class one of several, or an answer right: "
        "fixed (0.5), or chosen on dev: overall, by_label",
    )
    recall: float | None = knob(
        None,
        "instead of thresholds: share of the entities' characters (or of several classes) to be found on dev, such as "
        "0.995; the highest probability that reaches it is chosen",
    )
    precision: float | None = knob(
        None,
        "instead of thresholds: share of the entities (or of several classes) found on dev that must be right, such as "
        "0.95; the lowest probability that reaches it is chosen",
    )
    temperature: bool = knob(
        False, "true: one number that divides all logits makes confidences true on dev; predict uses it"
    )
    folds: int | None = knob(
        None,
        "cross-validation: train and dev are divided into so many folds, each predicted by a model without it; then "
        "the run goes on as without folds; null: none",
    )
    dev_share: float = knob(0.1, "share of train that becomes dev where the data have no dev split")
    score_test: bool = knob(True, "false: leave test alone, as long as settings are being chosen")


@dataclass
class LongTextsConfig:
    """How a whole text that is longer than `max_length` is read; entities have windows of their own."""

    read: str = knob("cut", "cut: its first max_length tokens; windows: all of it, in windows of max_length")
    overlap: int = knob(16, "tokens that a window shares with the next one")
    pool: str = knob(
        "mean",
        "what stands for a text in windows: mean of its tokens, max of its windows, or labels (attention)",
    )
    most: int = knob(32, "windows of a text at the most; what lies behind is cut, and counted")
    at_once: int = knob(16, "windows that go through the encoder at once; more of them are computed twice")


@dataclass
class DistillationConfig:
    """A student learns the mean probabilities that fine-tuned models give to spans, tags of words, or classes."""

    teachers: list[str] = knob(
        [], "fine-tuned models of the same head or kind of task, or folders of their runs; []: none"
    )
    weight: float = knob(0.5, "the teachers' share of the targets of labelled texts; the rest: labels")
    files: list[str] = knob([], "texts without labels that the teachers label; PATH or PATH::PART")
    passages: int = knob(
        2_000,
        "at most so many passages of those texts, of about ten sentences each; whole texts where classes are learnt",
    )
    own_teachers: int = knob(
        0,
        "teachers that this command fine-tunes first, in RUN/teachers, with the same settings and seeds from seed on; "
        "1: a model teaches its successor (self-training)",
    )
    teacher_epochs: float | None = knob(None, "epochs of each own teacher; null: as budget.epochs")


@dataclass
class FewShotConfig:
    """A part of train, to learn what few examples are worth: seed decides which, and 16 hold the same seed's 8."""

    examples: int | None = knob(
        None, "of each class; of annotated documents and numbers, in all; null: all examples"
    )
    dev: bool = knob(False, "true: reduce dev likewise, as whoever has few examples would have")


@dataclass
class FinetuneReportConfig(RunReportConfig):
    """What a fine-tuning run reports of itself at its end."""

    intervals: int = knob(
        1000,
        "samples of the documents of dev and test that give each score its 95 % interval; 0: no intervals",
    )
    show_text: bool = knob(
        False, "report.html quotes the texts of dev and test, gold beside predicted: for nobody else's eyes"
    )


@dataclass
class FinetuneConfig:
    """Settings of `python -m bertinchamps.finetune`."""

    task: Node = knob({}, "what is learnt, and from which files: {name, **settings of that reader}")
    model: str = knob(
        "last", "last (the newest pretrained one in runs_dir), a directory, a name on the Hub, or scratch"
    )
    head: str = knob("flat", "for entities: flat (one tag a word) or nested (entities inside entities)")
    max_length: int = knob(
        128, "tokens of a window; longer sentences are windowed, longer texts are cut (or see long_texts)"
    )
    long_texts: LongTextsConfig = field(default_factory=LongTextsConfig)
    loss: Node = knob(
        {}, "of classes: {name: plain, balanced (rare classes weigh more) or focal, **settings}"
    )
    dropout: float | None = knob(0.1, "of encoder and head while fine-tuning; null: as the model was trained")
    mask_rate: float = knob(0.0, "share of subwords that the mask token hides while training; 0: none")
    adapter: Node = knob(
        {"name": "none"}, "what of the encoder is trained: {name, **settings}; none: all of it"
    )
    arch: ArchConfig = field(default_factory=ArchConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    optim: Node = knob({}, "the optimizer: {name, **settings}")
    sparsity: Node = knob(
        {"name": "none"}, "none: all weights are trained; keep: those that are zero in the model stay zero"
    )
    privacy: Node = knob(
        {"name": "none"}, "none, or dp_sgd: differential privacy of train's records: {name, **settings}"
    )
    schedule: Node = knob({}, "learning rate over progress, as a share of the base rate: {name, **settings}")
    batch: FinetuneBatchConfig = field(default_factory=FinetuneBatchConfig)
    gradient_clipping: float | None = knob(1.0, "largest norm of an update's gradient; null: no clipping")
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    few_shot: FewShotConfig = field(default_factory=FewShotConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    limits: ReadingConfig = field(default_factory=ReadingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    cost: CostConfig = field(default_factory=CostConfig)
    report: FinetuneReportConfig = field(default_factory=FinetuneReportConfig)
    tracker: Node = knob({}, "where metrics go besides metrics.jsonl: {name, **settings}")
    hooks: list[Node] = knob([], "additional hooks, called in order: [{name, **settings}]")
    seed: int = knob(0, "decides the head's initial weights, the order of examples and dropout")
    label: str | None = knob(None, "what the report calls the model (default: where it came from)")
    runs_dir: str = knob("runs", "new runs get a directory of their own in here; model=last looks here")
    run_dir: str | None = knob(None, "use exactly this directory for the run")
    resume: str = knob(
        "never",
        "auto: resume the latest unfinished run with these settings; or the directory of a run to resume",
    )
