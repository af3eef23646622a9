"""Parameters, and floating-point operations per token.

Model FLOPs, as in the PaLM paper (Chowdhery et al., 2022, appendix B): matrix products only, a multiply-add as two
operations. Norms, activations, softmax, and recomputation under activation checkpointing are not counted.

Per token and forward pass, with sequences of S tokens, hidden size H and L layers:

    encoder    2 · (entries of the layers' weight matrices)
    attention  4 · R · H · L                        (q kᵀ and the weighted sum of v, 2 · R · H each, where a query
                                                     reads R = S keys, or in local layers those near it; of pruned
                                                     heads, their width in place of H)
    head       2 · (entries of the head's matrices)

Head and last layer are counted for the fraction of positions that are decoded; the keys and values of the last layer,
2 · (2 · H · H), for all positions. Embedding look-ups cost nothing. The backward pass costs twice the forward pass: one
product for the gradient of the input, one for the gradient of the weights.

Encoders of other architectures have no such formula: `downstream_flops_per_token` counts them. Where weights are
frozen, it counts a forward and a backward pass: a frozen map has no gradient of its weights, and a map below all
trained weights has no gradient at all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedConfig, PreTrainedModel

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.flops_by_weight import ProductsWith
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.heads.stock_masked_lm import AtMaskedPositions
from bertinchamps.model.huggingface import BertinchampsPreTrainedModel
from bertinchamps.model.visibility import side_of

NOTHING = nullcontext()


def _skeleton(config: BertinchampsConfig) -> BertinchampsForMaskedLM:
    """The model on the meta device, whose modules are counted: so the count cannot drift from the code."""
    if not config.masked_lm:  # the head is left out by whoever counts such an encoder
        config = copy.deepcopy(config)
        config.masked_lm = True
    with torch.device("meta"):
        return BertinchampsForMaskedLM(config)


def _matrix_entries(module: nn.Module) -> int:
    return sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.Linear))


def parameter_count(config: BertinchampsConfig) -> int:
    """Trainable numbers in the masked-LM model; a tied decoder counts once."""
    return sum(parameter.numel() for parameter in _skeleton(config).parameters())


def forward_flops_per_token(
    config: BertinchampsConfig, sequence_length: int, masked_fraction: float
) -> float:
    """Floating-point operations of one forward pass, divided by its tokens (padding counts as tokens).

    Args:
        config: the architecture.
        sequence_length: S, tokens a row.
        masked_fraction: share of the positions that the last layer and the head compute, from 0 to 1.
    """
    model = _skeleton(config)
    *layers, last = (
        2 * _matrix_entries(layer) + _attention_flops(config, index, sequence_length)
        for index, layer in enumerate(model.encoder.layers)
    )
    keys_and_values = 2 * 2 * config.hidden_size * config.num_attention_heads * config.head_size
    read = last - keys_and_values + 2 * _matrix_entries(model.head)
    return sum(layers) + keys_and_values + read * masked_fraction


def _attention_flops(config: PreTrainedConfig, index: int, sequence_length: int) -> float:
    """Operations of a layer's attention, a token and a forward pass; other encoders than ours read all keys."""
    side = side_of(config, index) if isinstance(config, BertinchampsConfig) else None
    read: float = sequence_length
    if side is not None and side < sequence_length:
        read = 2 * side + 1 - side * (side + 1) / sequence_length  # less what is missing at both ends
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width: int = config.num_attention_heads * head_dim
    return 4 * read * width


def encoder_forward_flops_per_token(config: BertinchampsConfig, sequence_length: int) -> float:
    """Floating-point operations of a forward pass of the encoder without a head, all positions in all layers."""
    head = 2 * _matrix_entries(_skeleton(config).head)
    return forward_flops_per_token(config, sequence_length, 1.0) - head


def flops_per_token(config: BertinchampsConfig, sequence_length: int, masked_fraction: float) -> float:
    """Operations per token of forward and backward together: three forward passes' worth.

    For `crammed` with 32768 rows, at 128 tokens and 15 % masked: 0.583 · 10⁹ (0.608 with a whole last layer).
    """
    return 3 * forward_flops_per_token(config, sequence_length, masked_fraction)


def matrix_flops_per_token(config: BertinchampsConfig, masked_fraction: float) -> dict[str, float]:
    """Of `flops_per_token`, the part of each weight matrix in the layers, by its module's name in the masked LM.

    Attention scores, the embeddings and the head are not among them.

    Args:
        config: the architecture.
        masked_fraction: share of the positions that the last layer computes, from 0 to 1.
    """
    layers = _skeleton(config).encoder.layers
    last, found = f"{len(layers) - 1}.", {}
    for name, part in layers.named_modules():
        if isinstance(part, nn.Linear):
            positions = masked_fraction if name.startswith(last) else 1.0
            found[f"encoder.layers.{name}"] = 3 * 2 * part.weight.numel() * positions
    keys_and_values = 3 * 2 * 2 * config.hidden_size * config.num_attention_heads * config.head_size
    found[f"encoder.layers.{last}attention.query_key_value"] += keys_and_values * (1 - masked_fraction)
    return found


def downstream_flops_per_token(model: nn.Module, config: PreTrainedConfig, sequence_length: int) -> float:
    """Operations per token of forward and backward of any encoder with its head.

    Our own encoders are counted by the formula, others by PyTorch's FLOP counter on one row: layers may share
    their weights (ALBERT), attention may be local, or be computed from more than queries and keys (DeBERTa).

    Args:
        model: a model of transformers, or a head of `heads/`.
        config: of the encoder.
        sequence_length: S, tokens of a typical row.
    """
    encoder = next((part for part in model.modules() if isinstance(part, PreTrainedModel)), None)
    if encoder is not None and not all(parameter.requires_grad for parameter in model.parameters()):
        outside = _matrix_entries(model) - _matrix_entries(encoder)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return 3.0 * 2 * outside + _flops_of_an_update(encoder, trained, sequence_length) / sequence_length
    if encoder is None or isinstance(encoder, BertinchampsPreTrainedModel):
        layers = range(config.num_hidden_layers)
        attention = sum(_attention_flops(config, index, sequence_length) for index in layers)
        return 3.0 * (2 * _matrix_entries(model) + attention)
    head = _matrix_entries(model) - _matrix_entries(encoder)
    return 3.0 * (2 * head + _counted_flops(encoder, sequence_length) / sequence_length)


def _counted_flops(encoder: PreTrainedModel, sequence_length: int) -> int:
    """Operations of a forward pass of one row, with eager attention, whose products the counter sees."""
    with _left_as_it_was(encoder):
        try:
            with torch.device("meta"):  # no memory and no arithmetic
                config = copy.deepcopy(encoder.config)
                skeleton = type(encoder)._from_config(config, attn_implementation="eager")  # type: ignore[no-untyped-call]
            return _flops_of_a_row(skeleton, sequence_length)
        except Exception:
            # The encoder reads values of tensors (FlauBERT of lengths, Longformer of its mask), so it runs for real.
            encoder.set_attn_implementation("eager")
            return _flops_of_a_row(encoder, sequence_length)


def _flops_of_a_row(encoder: PreTrainedModel, sequence_length: int) -> int:
    nn.Module.eval(encoder)  # no draws for dropout
    token = 1 if encoder.config.pad_token_id == 0 else 0
    ids = torch.full((1, sequence_length), token, device=encoder.device)
    # The counter follows modules by hooks on gradients, and DeBERTa's scripted modules fail without gradients.
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        encoder(input_ids=ids)
    return int(counter.get_total_flops())


def _flops_of_an_update(
    encoder: PreTrainedModel, trained: Sequence[nn.Parameter], sequence_length: int
) -> int:
    """Operations of forward and backward of one row, run with eager attention; gradients are dropped."""
    with _left_as_it_was(encoder):
        encoder.set_attn_implementation("eager")
        nn.Module.eval(encoder)
        token = 1 if encoder.config.pad_token_id == 0 else 0
        ids = torch.full((1, sequence_length), token, device=encoder.device)
        with FlopCounterMode(display=False) as counter, torch.enable_grad():
            output = encoder(input_ids=ids)
            result = output.logits if "logits" in output else output.last_hidden_state
            if result.requires_grad:
                torch.autograd.grad(result.float().sum(), trained, allow_unused=True)
    return int(counter.get_total_flops())


@contextmanager
def _left_as_it_was(encoder: PreTrainedModel) -> Iterator[None]:
    """Restores the attention implementation and each module's mode: some activations are one module for all models."""
    implementation = encoder.config._attn_implementation
    training = [module for module in encoder.modules() if module.training]
    try:
        yield
    finally:
        encoder.set_attn_implementation(implementation)
        for module in training:
            module.training = True


def masked_lm_forward_flops_per_token(
    model: PreTrainedModel, sequence_length: int, masked_fraction: float
) -> float:
    """Operations of a forward pass of any masked language model, whose head decodes masked positions alone.

    Args:
        model: of this project, or another one of transformers.
        sequence_length: S.
        masked_fraction: share of the positions that are decoded.
    """
    if isinstance(model, BertinchampsForMaskedLM):
        return forward_flops_per_token(model.config, sequence_length, masked_fraction)
    head = _matrix_entries(model) - _matrix_entries(model.base_model)
    return _counted_flops(model, sequence_length) / sequence_length - 2 * head * (1 - masked_fraction)


def masked_lm_flops_per_token(model: AtMaskedPositions, sequence_length: int, masked: int) -> float:
    """Operations per token of forward and backward of any masked language model.

    Three forward passes' worth where all of it is trained. Where weights are frozen, a forward and a backward pass of
    one row are run and counted: a frozen map has no gradient of its weights, and what lies below all trained weights
    has no gradient at all.

    Args:
        model: whose head is computed at masked positions.
        sequence_length: S.
        masked: number of positions that are decoded, from 1 to S.
    """
    if all(parameter.requires_grad for parameter in model.parameters()):
        return 3 * masked_lm_forward_flops_per_token(model.model, sequence_length, masked / sequence_length)
    with FlopCounterMode(display=False) as counter:
        _run_a_row(model, sequence_length, masked)
    return int(counter.get_total_flops()) / sequence_length


def masked_lm_matrix_flops_per_token(
    model: AtMaskedPositions, sequence_length: int, masked: int
) -> dict[str, float]:
    """Of `masked_lm_flops_per_token`, the part of each linear map, by the name of its module in `model`.

    A row is run and counted, unless the model is one of ours that is trained as a whole, which has a formula.

    Args:
        model: whose head is computed at masked positions.
        sequence_length: S.
        masked: number of positions that are decoded, from 1 to S.
    """
    inner = model.model
    if isinstance(inner, BertinchampsForMaskedLM) and all(each.requires_grad for each in inner.parameters()):
        parts = matrix_flops_per_token(inner.config, masked / sequence_length)
        return {f"model.{name}": count for name, count in parts.items()}
    maps = {name: part.weight for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    forward, backward = ProductsWith(maps), ProductsWith(maps)
    _run_a_row(model, sequence_length, masked, forward, backward)
    found = {}
    for name, weight in maps.items():
        gradient = forward.flops[name] if weight.requires_grad else 0  # takes as many as the forward product
        found[name] = (forward.flops[name] + backward.flops[name] + gradient) / sequence_length
    return found


def _run_a_row(
    model: AtMaskedPositions,
    sequence_length: int,
    masked: int,
    forward: AbstractContextManager[Any] = NOTHING,
    backward: AbstractContextManager[Any] = NOTHING,
) -> None:
    """A forward and a backward pass of one row, with eager attention, each in a context; gradients are dropped."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    encoder = model.model
    with _left_as_it_was(encoder), torch.enable_grad():
        encoder.set_attn_implementation("eager")
        nn.Module.eval(encoder)
        token = 1 if encoder.config.pad_token_id == 0 else 0
        ids = torch.full((1, sequence_length), token, device=encoder.device)
        positions = torch.arange(masked, device=encoder.device)[None]
        with forward:
            logits = model.masked_logits(ids, positions)
        with backward:
            torch.autograd.grad(logits.float().sum(), trained, allow_unused=True)
