"""Every setting of every command, as dataclasses: type, default and meaning are declared here once.

Hydra composes `configs/` with the command line (`composing.py`); these dataclasses type the closed nodes. The open
nodes (`data`, `objective`, `optim`, `schedule`, `tracker`, the entries of `cleaning`) are `{name, **settings}` and are
checked by the registry that builds them. No code mutates a dataclass; the dataclasses are not frozen because OmegaConf
cannot merge into frozen ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Node = dict[str, Any]


def knob(default: Any, text: str) -> Any:
    """A dataclass field that carries its own documentation, which `--help` prints."""
    if isinstance(default, dict | list):
        return field(default_factory=lambda: type(default)(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass
class ArchConfig:
    """The encoder. `configs/arch/` holds whole ones; any key can be changed alone."""

    hidden_size: int = knob(768, "width of the residual stream")
    num_hidden_layers: int = knob(16, "layers")
    num_attention_heads: int = knob(12, "attention heads; they divide hidden_size")
    intermediate_size: int = knob(3072, "width of the feed-forward's first projection (a glu halves it)")
    feed_forward: str = knob("glu", "glu or mlp")
    activation: str = knob("gelu", "gelu, gelu_tanh, silu or relu")
    norm: str = knob("layernorm", "layernorm or rmsnorm")
    norm_position: str = knob("pre", "pre or post: before each block, or after each residual sum")
    norm_epsilon: float = knob(1e-12, "added to the variance")
    norm_bias: bool = knob(True, "biases in the norms (rmsnorm has none)")
    attention_bias: bool = knob(False, "biases in the attention's projections")
    feed_forward_bias: bool = knob(False, "biases in the feed-forward")
    decoder_bias: bool = knob(False, "a bias for each vocabulary entry")
    head_bias: bool = knob(False, "a bias in the prediction head's transform")
    tie_word_embeddings: bool = knob(True, "the decoder is the token embedding")
    embedding_norm: bool = knob(True, "a norm after embedding and positions")
    final_norm: bool = knob(True, "a norm after the last layer (pre-norm needs it)")
    first_attention_norm: bool = knob(True, "a norm before the first attention")
    positions: str = knob("scaled_sinusoidal", "scaled_sinusoidal, sinusoidal, learned, rotary or none")
    rotary_theta: float = knob(10000.0, "base of the rotary frequencies")
    max_positions: int = knob(512, "longest sequence, where positions are learned")
    head_transform: bool = knob(False, "dense, activation and norm before the decoder, as in BERT")
    query_key_norm: bool = knob(False, "normalise queries and keys in each head")
    dropout: float = knob(0.0, "one rate for embeddings, attention and feed-forward")
    init: str = knob("normal", "normal, zero_output or depth_scaled")
    initializer_range: float = knob(0.02, "standard deviation of the initial weights")
    vocab_padding: int = knob(64, "round the embedding's rows up to a multiple, for speed; ids never change")
    stock: str | None = knob(
        None, "bert or modernbert: refuse settings that this class of transformers cannot represent"
    )


@dataclass
class TokenizerConfig:
    """A WordPiece tokenizer, trained on a bounded sample of the documents."""

    normalizer: str = knob("french", "french or paper")
    vocab_size: int = knob(32768, "entries, special tokens included; at most 65536")
    min_frequency: int = knob(2, "occurrences that a pair needs to be merged")
    sample_characters: int = knob(200_000_000, "characters of the documents to train on, about")
    path: str | None = knob(None, "use this tokenizer's directory instead of training one")


@dataclass
class BlocksConfig:
    """Packed token blocks on disk, built once for each fingerprint of documents and settings."""

    sequence_length: int = knob(128, "tokens in a training sequence")
    held_out_share: float = knob(0.01, "share of the documents kept out of training, for evaluation")
    tokens_per_character: float | None = knob(
        None, "leave out documents with more tokens per character (Cramming: 0.3); null: leave out none"
    )
    workers: int | None = knob(None, "processes that clean documents (default: one for each core)")
    cache_dir: str | None = knob(
        None, "where blocks are kept (default: $BERTINCHAMPS_CACHE or ~/.cache/bertinchamps)"
    )


@dataclass
class BatchConfig:
    """An update averages micro-batches; their number may grow with progress."""

    micro_batch: int = knob(128, "sequences that go through the model at once")
    size: int = knob(4096, "sequences in an update, once the ramp is over")
    ramp: float = knob(1.0, "progress at which the full size is reached, linearly; 0: from the start")


@dataclass
class BudgetConfig:
    """When training ends. Several may be given; the smallest wins."""

    hours: float | None = knob(None, "wall-clock hours of training, evaluation and checkpoints included")
    steps: float | None = knob(None, "optimizer updates")
    tokens: float | None = knob(None, "tokens read")
    epochs: float | None = knob(None, "passes over the training blocks")
    flops: float | None = knob(None, "floating-point operations of the model, forward and backward")


@dataclass
class RuntimeConfig:
    """Where and how the arithmetic runs."""

    device: str = knob("auto", "auto, cpu or cuda")
    precision: str = knob("auto", "auto, fp32, bf16 or, with a scaled loss, fp16 (autocast)")
    compile: str = knob("auto", "auto, on or off: torch.compile")
    threads: int | None = knob(None, "CPU threads (default: all cores)")
    activation_checkpointing: bool = knob(
        False, "recompute activations in the backward pass: less memory, slower"
    )


@dataclass
class EvaluationConfig:
    """Held-out evaluation, always at a mask rate of 15 %."""

    every: float = knob(0.05, "share of the budget between two evaluations")
    blocks: int = knob(512, "held-out blocks to score, at the most")


@dataclass
class CheckpointConfig:
    """Checkpoints to resume from."""

    every_minutes: float = knob(15.0, "minutes between two checkpoints")
    every_steps: int | None = knob(None, "updates between two checkpoints, besides every_minutes")
    keep: int = knob(2, "checkpoints to keep, the latest ones")


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

    arch: ArchConfig = field(default_factory=ArchConfig)
    objective: Node = knob({}, "what is learnt: {name, **settings}")
    optim: Node = knob({}, "the optimizer: {name, **settings}")
    schedule: Node = knob({}, "learning rate over progress, as a share of the base rate: {name, **settings}")
    batch: BatchConfig = field(default_factory=BatchConfig)
    gradient_clipping: float | None = knob(0.5, "largest norm of an update's gradient; null: no clipping")
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    tracker: Node = knob({}, "where metrics go besides metrics.jsonl: {name, **settings}")
    hooks: list[Node] = knob([], "additional hooks, called in order: [{name, **settings}]")
    seed: int = knob(0, "decides initial weights, data order, masks and dropout")
    runs_dir: str = knob("runs", "new runs get a directory of their own in here")
    run_dir: str | None = knob(None, "use exactly this directory for the run")
    resume: str = knob(
        "never",
        "auto: resume the latest unfinished run with these settings; or the directory of a run to resume",
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
    thresholds: bool = knob(False, "with head=nested: choose on dev, by label, what makes a span an entity")
    dev_share: float = knob(0.1, "share of train that becomes dev where the data have no dev split")


@dataclass
class DistillationConfig:
    """A student with head=nested learns the mean probabilities that fine-tuned models give to spans."""

    teachers: list[str] = knob([], "fine-tuned models with head=nested, or folders of their runs; []: none")
    weight: float = knob(0.5, "the teachers' share of the targets of labelled texts; the rest: labels")
    files: list[str] = knob([], "texts without labels that the teachers label; PATH or PATH::PART")
    passages: int = knob(2_000, "at most so many passages of those texts, of about ten sentences each")


@dataclass
class FinetuneConfig:
    """Settings of `python -m bertinchamps.finetune`."""

    task: Node = knob({}, "what is learnt, and from which files: {name, **settings of that reader}")
    model: str = knob(
        "last", "last (the newest pretrained one in runs_dir), a directory, a name on the Hub, or scratch"
    )
    head: str = knob("flat", "for entities: flat (one tag a word) or nested (entities inside entities)")
    max_length: int = knob(128, "tokens of a window; longer sentences are windowed, longer texts are cut")
    dropout: float | None = knob(0.1, "of encoder and head while fine-tuning; null: as the model was trained")
    mask_rate: float = knob(0.0, "share of subwords that the mask token hides while training; 0: none")
    arch: ArchConfig = field(default_factory=ArchConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    optim: Node = knob({}, "the optimizer: {name, **settings}")
    schedule: Node = knob({}, "learning rate over progress, as a share of the base rate: {name, **settings}")
    batch: FinetuneBatchConfig = field(default_factory=FinetuneBatchConfig)
    gradient_clipping: float | None = knob(1.0, "largest norm of an update's gradient; null: no clipping")
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
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


@dataclass
class PredictConfig:
    """Settings of `python -m bertinchamps.predict`."""

    model: str = knob(
        "last", "last (the newest fine-tuned run in runs_dir), a run's directory, or its model/"
    )
    input: str = knob("-", "a file, a folder, or - for standard input")
    output: str = knob(
        "-",
        "a folder for brat, a file for the other formats; - is standard output, which gets jsonl, csv or tsv",
    )
    format: str = knob(
        "auto", "auto (by output's name), jsonl, csv or tsv; for entities also brat, conll or html"
    )
    text_field: str = knob("text", "the key or column that holds the text, in files that have several")
    id_field: str | None = knob(
        None, "the key or column that holds each text's id; null: `id` where there is one"
    )
    pair_field: str | None = knob(None, "the key or column of the second text, for models of pairs")
    batch: int = knob(64, "examples scored at once")
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    runs_dir: str = knob("runs", "where model=last looks")


@dataclass
class ReportConfig:
    """Settings of `python -m bertinchamps.report`."""

    runs_dir: str = knob("runs", "gather every run below this directory, at any depth")
    output: str = knob("report", "directory for report.md, its CSV files and its figure")


COMMANDS: dict[str, type] = {
    "pretrain": PretrainConfig,
    "prepare": PrepareCommandConfig,
    "finetune": FinetuneConfig,
    "predict": PredictConfig,
    "report": ReportConfig,
}


def named(node: Node) -> tuple[str, Node]:
    """An open node as (name, settings)."""
    return str(node.get("name")), {key: value for key, value in node.items() if key != "name"}
