"""Every architectural choice of the encoder, in one flat config that Hugging Face saves as config.json."""

from __future__ import annotations

from dataclasses import fields
from typing import ClassVar

from transformers import PreTrainedConfig

# Fields that a tokenizer decides; those declared below that are in none of these four are keys of `configs/arch/`.
VOCABULARY_FIELDS = (
    "vocab_size",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "cls_token_id",
    "sep_token_id",
    "mask_token_id",
)
PRUNED_FIELDS = ("head_dim", "global_layers")  # that pruning sets
OBJECTIVE_FIELDS = ("predicts_next", "masked_lm")  # that what is learnt in pretraining decides
# Fields that growth from a smaller model decides (`model/growth.py`).
GROWTH_FIELDS = ("position_width",)


class BertinchampsConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Architecture of a BertInChamps encoder. The defaults are the `crammed` model.

    Names (`positions`, `norm`, `feed_forward`, `activation`, `init`) are entries of the registries in
    this folder. They are looked up when a model is built; `architecture.arch_problems` checks them
    all, and the relations between fields, beforehand.
    """

    model_type = "bertinchamps"
    # Libraries read the length limit under this name.
    attribute_map: ClassVar[dict[str, str]] = {"max_position_embeddings": "max_positions"}

    vocab_size: int = 32768
    """Rows of the embedding matrix, padding rows included (so not always the tokenizer's size)."""
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    cls_token_id: int | None = None
    sep_token_id: int | None = None
    mask_token_id: int | None = None

    hidden_size: int = 768
    """Width of the residual stream."""
    num_hidden_layers: int = 16
    """Encoder layers, each one attention and one feed-forward."""
    num_attention_heads: int = 12
    """Heads; the size of a head is hidden_size / num_attention_heads, unless head_dim says otherwise."""
    head_dim: int | None = None
    """Width of one attention head, where heads were pruned: those that are left keep theirs."""
    intermediate_size: int = 3072
    """Outputs of the first feed-forward projection, in total: `glu` halves them (3072 → 2 × 1536 → 1536),
    `mlp` keeps them. So both read the input with the same number of weights."""

    feed_forward: str = "glu"
    """`glu` (gated) or `mlp` (two projections)."""
    activation: str = "gelu"
    """`gelu` (exact), `gelu_tanh`, `silu` or `relu`; of the feed-forward and of the head's transform."""
    norm: str = "layernorm"
    """`layernorm` or `rmsnorm`."""
    norm_position: str = "pre"
    """`pre`: x + f(norm(x)); `post`: norm(x + f(x))."""
    norm_epsilon: float = 1e-12
    """Added to the variance (mean square) before the square root."""
    norm_bias: bool = True
    """Norms learn an offset beside their gain."""
    attention_bias: bool = False
    """Biases in the query-key-value and the output projection."""
    feed_forward_bias: bool = False
    """Biases in the feed-forward projections."""
    decoder_bias: bool = False
    """One bias per vocabulary row on the masked-LM logits."""
    head_bias: bool = False
    """Bias in the dense layer of the head's transform; without effect unless head_transform."""

    embedding_norm: bool = True
    """A norm right after the embeddings, positions included."""
    final_norm: bool = True
    """A norm after the last layer; a pre-norm encoder's residual stream is unscaled without it."""
    first_attention_norm: bool = True
    """The first layer normalises before attention; ModernBERT skips it, as embedding_norm just ran."""
    positions: str = "scaled_sinusoidal"
    """`scaled_sinusoidal`, `sinusoidal`, `learned`, `rotary` or `none`."""
    position_width: int | None = None
    """Width at which sines of positions are computed; repeated up to hidden_size. None: hidden_size."""
    rotary_theta: float = 10000.0
    """Base of the rotary wavelengths; read by `rotary` only."""
    attention: str = "global"
    """`global`: every layer reads the whole sequence; `alternating`: every `global_every`-th layer does, the first one
    included, and the others read `local_window` tokens (ModernBERT)."""
    local_window: int = 128
    """Tokens around a query that a local layer reads, half of them to each side; read by `alternating` only."""
    global_every: int = 3
    """Distance between two layers that read the whole sequence; read by `alternating` only."""
    global_layers: list[int] | None = None
    """Numbers of the layers that read the whole sequence, where layers were pruned: those that are left read what they
    did. None: every `global_every`-th."""
    local_theta: float = 10000.0
    """Base of the rotary wavelengths in local layers; read by `rotary` with `alternating` only."""
    max_positions: int = 512
    """Longest sequence in tokens. A hard limit for `learned`, advice to tokenizers for the others."""
    head_transform: bool = False
    """dense → activation → norm before the decoder of the masked-LM head."""
    head_positions: bool = False
    """The encoding of positions is added once more before the masked-LM head; of encodings that add to embeddings."""
    query_key_norm: bool = False
    """RMS-normalise queries and keys per head, with a learned gain, which bounds attention logits."""
    pooler: str = "cramming"
    """What a text classifier has before its last map: `cramming` (mean of the tokens → dense → tanh), `modernbert`
    (mean → dense → activation → norm) or `bert` (first token → dense → tanh). Masked-LM models do not read it."""

    predicts_next: bool = False
    """The masked-LM head reads the position before a token, not the token's own (`objective=hybrid`)."""

    masked_lm: bool = True
    """False: an encoder that never learnt masked tokens (`objective=rtd`), so no masked-LM head is built on it."""

    dropout: float = 0.0
    """One rate for embeddings, attention probabilities, attention output and feed-forward output."""
    init: str = "normal"
    """`normal`, `zero_output` or `depth_scaled`; they differ in what writes to the residual stream."""
    initializer_range: float = 0.02
    """Standard deviation of the normal draws."""
    tie_word_embeddings: bool = True
    """The decoder shares the token embedding's matrix."""

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads


ARCHITECTURE_FIELDS = tuple(
    field.name
    for field in fields(BertinchampsConfig)
    if field.name in BertinchampsConfig.__annotations__
    and field.name not in (*VOCABULARY_FIELDS, *PRUNED_FIELDS, *OBJECTIVE_FIELDS, *GROWTH_FIELDS)
)
"""The keys of a `configs/arch/` node without `stock` and `vocab_padding`, which are not part of the model."""


def register() -> None:
    """Register the config with AutoConfig. `bertinchamps/__init__.py` calls it; twice does no harm."""
    from transformers import AutoConfig

    AutoConfig.register(BertinchampsConfig.model_type, BertinchampsConfig, exist_ok=True)
