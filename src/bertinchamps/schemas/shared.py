"""Settings of pretraining and of fine-tuning alike."""

from __future__ import annotations

from dataclasses import dataclass

from bertinchamps.schemas.knobs import knob


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
    attention: str = knob(
        "global",
        "global, or alternating: every global_every-th layer reads all tokens, the others those near by",
    )
    local_window: int = knob(128, "tokens that a local layer reads around each token (attention=alternating)")
    global_every: int = knob(3, "distance between layers that read all tokens (attention=alternating)")
    local_theta: float = knob(10000.0, "base of the rotary frequencies in local layers")
    max_positions: int = knob(512, "longest sequence, where positions are learned")
    head_transform: bool = knob(False, "dense, activation and norm before the decoder, as in BERT")
    head_positions: bool = knob(False, "add positions once more before the prediction head")
    query_key_norm: bool = knob(False, "normalise queries and keys in each head")
    pooler: str = knob(
        "cramming", "of text classifiers: cramming, or that of the stock class, modernbert or bert"
    )
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
    split_digits: bool = knob(False, "each digit is a word of its own; false: a number is a word")
    join_elisions: bool = knob(
        False, "an elided word keeps its apostrophe (l', qu'); false: two words, as in BERT"
    )
    vocab_size: int = knob(32768, "entries, special tokens included; at most 65536")
    min_frequency: int = knob(2, "occurrences that a pair needs to be merged")
    sample_characters: int = knob(200_000_000, "characters of the documents to train on, about")
    path: str | None = knob(None, "use this tokenizer's directory instead of training one")
    extend: int | None = knob(
        None, "words of the documents that become entries of the tokenizer of model= or path=; null: none"
    )
    replace: int | None = knob(
        None,
        "entries of a vocabulary of the documents that the tokenizer of model= or path= gets instead of its own; null: "
        "it keeps its own",
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
class EngineConfig(RuntimeConfig):
    """Where and how predictions are computed."""

    engine: str = knob(
        "auto",
        "auto (what `compress` chose for the model, otherwise torch), torch, or with a model of `export format=onnx`: "
        "onnx, or onnx_int8 (on the processor)",
    )


@dataclass
class CostConfig:
    """What turns seconds into money and energy into CO2 (docs/costs.md has the sources of the defaults)."""

    euro_per_hour: float | None = knob(
        None,
        "of all that the run computes on; null: 2.50 a card, 0.05 a core of a processor (cloud prices of 2026)",
    )
    gram_co2_per_kwh: float = knob(21.7, "of the electricity; 21.7 is France's of 2024")
    watts: float | None = knob(
        None, "of all that the run computes on, where no counter can be read; null: data sheet, or 6 a core"
    )


@dataclass
class RunReportConfig:
    """What a run reports of itself at its end."""

    html: bool = knob(True, "write report.html, a page without text of documents, into the run's directory")


@dataclass
class ReadingConfig:
    """What a file of texts may hold, so that a small one that unpacks to gigabytes is refused, not read."""

    file_mb: float = knob(
        2000.0,
        "millions of bytes of a file that is read whole, unpacked, and of all that is read of an archive or a folder",
    )
    record_mb: float = knob(64.0, "millions of bytes of a line or a row")
    columns: int = knob(10_000, "columns of a table, or keys of all JSON lines together that become columns")


@dataclass
class CheckpointConfig:
    """Checkpoints to resume from."""

    every_minutes: float = knob(15.0, "minutes between two checkpoints")
    every_steps: int | None = knob(None, "updates between two checkpoints, besides every_minutes")
    keep: int = knob(2, "checkpoints to keep, the latest ones")
    retries: int = knob(
        3,
        "updates in a row whose loss is not finite and that are left out, each with its data; one more ends the run",
    )
