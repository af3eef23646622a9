"""Prompt tuning (Lester et al., 2021): trained vectors stand before the text's tokens; the encoder is frozen."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bertinchamps.model.adapters import adapters
from bertinchamps.model.adapters.bases import encoder_of
from bertinchamps.model.adapters.injected import PeftAdapter
from bertinchamps.model.heads import DownstreamModel
from bertinchamps.schemas import Node


def prompt_problems(settings: Mapping[str, Any]) -> list[str]:
    """Mistakes in the settings of a prompt."""
    tokens = settings.get("tokens", 20)
    return [] if tokens >= 1 else [f"adapter.tokens={tokens}: must be at least 1"]


@adapters.register("prompt", check=prompt_problems)
class Prompt(PeftAdapter):
    """The encoder reads `tokens` trained vectors, then the text; the head gets the hidden states of the text alone.

    As in peft, the text's positions begin behind the prompt, and every token may attend to it. A pooler inside the
    encoder (BERT, ALBERT) reads the encoder's first position, which is the prompt's first, as in peft.

    Args:
        tokens: number of vectors; at first they are those of random subwords.
    """

    trains_matrices = False
    prefix = "base_model."
    not_merged = (
        "a prompt is read before each text, and is no part of a weight; keep adapter and base, or train lora"
    )

    def __init__(self, tokens: int = 20) -> None:
        self.extra_tokens = tokens

    def place(self, model: DownstreamModel) -> Any:
        from peft import PromptEmbedding, PromptTuningConfig

        encoder = encoder_of(model)
        embedding = encoder.get_input_embeddings()
        config = PromptTuningConfig(
            num_virtual_tokens=self.extra_tokens,
            token_dim=embedding.weight.shape[1],
            num_transformer_submodules=1,
            num_attention_heads=encoder.config.num_attention_heads,
            num_layers=encoder.config.num_hidden_layers,
            prompt_tuning_init="SAMPLE_VOCAB",
        )
        prompt: Any = PromptEmbedding(config, embedding)  # type: ignore[no-untyped-call]
        prompt.embedding.weight._no_weight_decay = True  # read by `training.optim`
        model.prompt = prompt
        signature = inspect.signature(encoder.forward)

        def read_prompt(
            module: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]
        ) -> tuple[tuple[()], dict[str, Any]]:
            return (), _with_prompt(prompt.embedding.weight, embedding, _by_name(signature, given, named))

        encoder.register_forward_pre_hook(read_prompt, with_kwargs=True)
        encoder.register_forward_hook(lambda module, given, output: _of_the_text(output, self.extra_tokens))
        return config

    def named_weights(
        self, model: DownstreamModel
    ) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
        inside, outside = super().named_weights(model)
        prompt = outside.pop("prompt.embedding.weight")
        return {"prompt_embeddings": prompt, **inside}, outside

    def node(self) -> Node:
        return {"name": "prompt", "tokens": self.extra_tokens}

    def describe(self) -> str:
        return f"prompt of {self.extra_tokens} vectors before each text"


def _by_name(
    signature: inspect.Signature, given: tuple[Any, ...], named: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a call, each by its name."""
    arguments = dict(signature.bind(*given, **named).arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(arguments.pop(parameter.name, {}))
    return arguments


def _with_prompt(prompt: torch.Tensor, embedding: nn.Module, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of an encoder with a prompt [P, E] before its tokens; input_ids become vectors."""
    ids, vectors = arguments.pop("input_ids", None), arguments.get("inputs_embeds")
    texts = embedding(ids) if vectors is None else vectors  # [B, S, E]
    rows, tokens = len(texts), len(prompt)
    arguments["inputs_embeds"] = torch.cat([prompt.to(texts.dtype).expand(rows, -1, -1), texts], 1)
    for name, value in (("attention_mask", 1), ("token_type_ids", 0)):
        if arguments.get(name) is not None:
            own = arguments[name].new_full((rows, tokens), value)
            arguments[name] = torch.cat([own, arguments[name]], 1)
    if arguments.get("position_ids") is not None:
        places = arguments["position_ids"]
        own = torch.arange(tokens, device=places.device).expand(len(places), -1)
        arguments["position_ids"] = torch.cat([own, places + tokens], 1)
    return arguments


def _of_the_text(output: Any, tokens: int) -> Any:
    """The output of an encoder without the hidden states of the prompt."""
    if isinstance(output, tuple):
        return (output[0][:, tokens:], *output[1:])
    output.last_hidden_state = output.last_hidden_state[:, tokens:]
    if output.get("hidden_states") is not None:
        output.hidden_states = tuple(hidden[:, tokens:] for hidden in output.hidden_states)
    return output
