"""Settings of `prepare` and `pretrain`."""

from __future__ import annotations

from dataclasses import dataclass, field

from bertinchamps.schemas.knobs import Node, knob
from bertinchamps.schemas.shared import (
    ArchConfig,
    BatchConfig,
    BudgetConfig,
    CheckpointConfig,
    CostConfig,
    RunReportConfig,
    RuntimeConfig,
    TokenizerConfig,
)


@dataclass
class BlocksConfig:
    """Packed token blocks on disk, built once for each fingerprint of documents and settings."""

    sequence_length: int = knob(128, "tokens in a training sequence")
    lengths: list[int] = knob(
        [],
        "grow over progress: [128,256,512] cuts blocks of 512 into rows of 128, then of 256, then leaves them whole; "
        "all updates have as many tokens",
    )
    documents: str = knob(
        "packed",
        "packed: the documents of a row see each other; apart: none does, and positions begin anew in each",
    )
    curriculum: int = knob(
        1,
        "parts of the corpus, in its order, that are read one after another as progress goes; 1: one, shuffled",
    )
    held_out_share: float = knob(0.01, "share of the documents kept out of training, for evaluation")
    tokens_per_character: float | None = knob(
        None, "leave out documents with more tokens per character (Cramming: 0.3); null: leave out none"
    )
    workers: int | None = knob(None, "processes that clean documents (default: one for each core)")
    cache_dir: str | None = knob(
        None, "where blocks are kept (default: $BERTINCHAMPS_CACHE or ~/.cache/bertinchamps)"
    )


@dataclass
class EvaluationConfig:
    """Held-out evaluation, always at a mask rate of 15 %."""

    every: float = knob(0.05, "share of the budget between two evaluations")
    blocks: int = knob(512, "held-out blocks to score, at the most")
    also: list[Node] = knob(
        [],
        "other documents to score as well: [{title: general, name: files, files: [general/*.jsonl]}]; share: of the "
        "documents (default: blocks.held_out_share)",
    )


@dataclass
class GrowConfig:
    """A model that begins as a smaller one, and computes the same before the first update."""

    model: str | None = knob(None, "a run, or a model's directory, of a smaller arch with the same tokenizer")


@dataclass
class FreezeConfig:
    """What of the model of `model=` keeps its weights."""

    layers: int = knob(
        0,
        "the embeddings and so many layers from below are not trained, that of tokens excepted where its entries are "
        "new; 0: all are",
    )


@dataclass
class PositionsConfig:
    """Positions of the model of `model=`, where its rows become longer than those that it was pretrained with."""

    extend: int | None = knob(
        None,
        "let the model read rows of so many tokens: a learned table is copied behind itself, the base of rotary "
        "positions grows; null: as many as it reads",
    )
    theta: float | None = knob(
        None, "with extend, the base of rotary positions (default: by the NTK-aware formula)"
    )


@dataclass
class PrepareConfig:
    """What shapes a corpus."""

    data: Node = knob({}, "where documents come from: {name, **settings of that source}")
    cleaning: list[Node] = knob([], "steps that drop or mend documents, in order: [{name, **settings}]")
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    blocks: BlocksConfig = field(default_factory=BlocksConfig)


@dataclass
class PrepareCommandConfig(PrepareConfig):
    """Settings of `python -m bertinchamps.prepare`."""

    cluster: Node = knob(
        {}, "prepare in tasks of a cluster: {name, **settings}; +cluster=slurm, +cluster=local"
    )
    stats: str | None = knob(
        None, "print statistics of the corpus, and write them as a page into this .html file"
    )
    export: str | None = knob(
        None, "write the corpus into this new folder, compressed, for data=prepared on another machine"
    )
    verify: bool = knob(False, "compare every byte of the blocks with its checksum")


@dataclass
class PretrainConfig(PrepareConfig):
    """Settings of `python -m bertinchamps.pretrain`."""

    model: str | None = knob(
        None,
        "go on from this masked language model instead of a new one: a run, a directory, or a name on the Hub",
    )
    arch: ArchConfig = field(default_factory=ArchConfig)
    grow: GrowConfig = field(default_factory=GrowConfig)
    freeze: FreezeConfig = field(default_factory=FreezeConfig)
    positions: PositionsConfig = field(default_factory=PositionsConfig)
    adapter: Node = knob(
        {"name": "none"},
        "what of the model of `model=` is trained: {name, **settings}; none: all of it. It is merged at the end",
    )
    dropout: float | None = knob(
        0.0, "of the model of `model=` while it is trained; null: as its config.json has it"
    )
    objective: Node = knob({}, "what is learnt: {name, **settings}")
    optim: Node = knob({}, "the optimizer: {name, **settings}")
    sparsity: Node = knob(
        {"name": "none"},
        "weights of the layers that are held at zero: {name, **settings}; none: all are trained; keep: with `model=`, "
        "those that are zero in it",
    )
    schedule: Node = knob({}, "learning rate over progress, as a share of the base rate: {name, **settings}")
    batch: BatchConfig = field(default_factory=BatchConfig)
    gradient_clipping: float | None = knob(0.5, "largest norm of an update's gradient; null: no clipping")
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    cost: CostConfig = field(default_factory=CostConfig)
    report: RunReportConfig = field(default_factory=RunReportConfig)
    tracker: Node = knob({}, "where metrics go besides metrics.jsonl: {name, **settings}")
    hooks: list[Node] = knob([], "additional hooks, called in order: [{name, **settings}]")
    seed: int = knob(0, "decides initial weights, data order, masks and dropout")
    runs_dir: str = knob("runs", "new runs get a directory of their own in here")
    run_dir: str | None = knob(None, "use exactly this directory for the run")
    resume: str = knob(
        "never",
        "auto: resume the latest unfinished run with these settings; or the directory of a run to resume",
    )
