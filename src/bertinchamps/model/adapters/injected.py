"""What adapters of the library peft share: the encoder is frozen, what peft adds and the head are trained and saved.

FOLDER/adapter_config.json adapter_model.safetensors    as peft saves them, a stock head included; peft opens them
FOLDER/adapter_head.safetensors                         a head that stock classes do not have (nested)
FOLDER/base.json                                        the base (`bases`)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.adapters import Adapter
from bertinchamps.model.adapters.bases import POOLER, BaseRecord, encoder_of, fingerprint_of
from bertinchamps.model.heads import DownstreamModel
from bertinchamps.schemas import Node

WEIGHTS, HEAD = "adapter_model.safetensors", "adapter_head.safetensors"
ADAPTER = "default"  # peft's name of the one adapter, which its files leave out
TASK_TYPES = {"ForTokenClassification": "TOKEN_CLS", "ForSequenceClassification": "SEQ_CLS"}


class PeftAdapter(Adapter):
    """The base class of peft's adapters; a subclass says what peft injects.

    Attributes:
        prefix: of names of weights in peft's file.
    """

    trains_encoder = False
    prefix = "base_model.model."

    def missing(self) -> str | None:
        if find_spec("peft") is not None:
            return None
        return "adapter: needs the library peft; pip install 'bertinchamps[adapters]', or set adapter=none"

    def inject(self, model: Any) -> Any:
        """Change a model of transformers in place; returns peft's configuration.

        Raises:
            UserError: nothing in the model fits.
        """
        raise NotImplementedError

    def node(self) -> Node:
        """{name, **settings} from which the adapter is built again, with what it found in the encoder."""
        raise NotImplementedError

    def attach(self, model: DownstreamModel, base: str) -> None:
        folder = Path(base)
        found = fingerprint_of(encoder_of(model))
        model.requires_grad_(False)
        self._config = self.place(model)
        for parameter in head_parameters(model):
            parameter.requires_grad_(True)
        self._record = BaseRecord(str(folder.resolve()) if folder.is_dir() else base, found, self.node())

    def place(self, model: DownstreamModel) -> Any:
        """Inject into the encoder of a model with frozen weights; returns peft's configuration."""
        return self.inject(model.model)

    def save(self, model: DownstreamModel, folder: Path) -> None:
        inside, outside = self.named_weights(model)
        save_file(_plain(inside), folder / WEIGHTS, {"format": "pt"})
        if outside:
            save_file(_plain(outside), folder / HEAD, {"format": "pt"})
        config = self._config
        config.base_model_name_or_path, config.inference_mode = self._record.base, True
        config.task_type = _task_type(model.model)
        config.modules_to_save = _head_modules(model.model) or None
        config.save_pretrained(str(folder))
        self._record.save(folder)

    def load(self, model: DownstreamModel, folder: Path) -> None:
        for file, weights in zip((WEIGHTS, HEAD), self.named_weights(model), strict=True):
            if weights:
                _fill(weights, folder / file)

    def merge(self, model: DownstreamModel) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, module in list(model.model.named_modules()):
            if isinstance(module, BaseTunerLayer):
                layer: Any = module
                layer.merge(safe_merge=True)
                parent, _, leaf = name.rpartition(".")
                setattr(model.model.get_submodule(parent), leaf, layer.get_base_layer())
        del model.model.peft_config

    def named_weights(
        self, model: DownstreamModel
    ) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
        """Trained weights: those in the model of transformers, as peft's file calls them; those of the head outside."""
        inside = {
            f"{self.prefix}{name.replace(f'.{ADAPTER}', '')}": parameter
            for name, parameter in model.model.named_parameters()
            if parameter.requires_grad
        }
        outside = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and not name.startswith("model.")
        }
        return inside, outside


def inject_in(model: Any, config: Any) -> None:
    """Let peft replace the targets of a configuration in a model of transformers, in place."""
    from peft import inject_adapter_in_model

    inject_adapter_in_model(config, model, adapter_name=ADAPTER)


def head_parameters(model: DownstreamModel) -> Iterator[nn.Parameter]:
    """The weights of a head: all outside the encoder, and poolers that a stock head reads."""
    encoder = encoder_of(model)
    own = {id(parameter) for parameter in encoder.parameters()}
    yield from (parameter for parameter in model.parameters() if id(parameter) not in own)
    if encoder is not model.model:
        for name, parameter in encoder.named_parameters():
            if POOLER in name.split("."):
                yield parameter


def adapted_in_words(names: Sequence[str]) -> str:
    """Names of modules, without what differs between layers."""
    endings = dict.fromkeys(
        ".".join(part for part in name.split(".")[-2:] if not part.isdigit()) for name in names
    )
    return f"{', '.join(endings)} ({len(names)} maps)"


def _head_modules(model: Any) -> list[str]:
    """The modules of a stock head, as peft's `modules_to_save` names them."""
    if model.base_model is model:
        return []
    children = [name for name, part in model.named_children() if part is not model.base_model]
    poolers = [name for name, _ in model.base_model.named_children() if name == POOLER]
    return [name for name in children if any(True for _ in model.get_submodule(name).parameters())] + poolers


def _task_type(model: Any) -> str:
    name = type(model).__name__
    return next((kind for ending, kind in TASK_TYPES.items() if name.endswith(ending)), "FEATURE_EXTRACTION")


def _plain(weights: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().cpu().contiguous() for name, parameter in weights.items()}


@torch.no_grad()
def _fill(weights: Mapping[str, nn.Parameter], file: Path) -> None:
    """Copy the tensors of a file into weights of the same names and shapes, all of them and no others."""
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{file}: missing or damaged ({type(error).__name__}); an adapter's weights are kept there"
        ) from error
    wrong = sorted(tensors.keys() ^ weights.keys())
    wrong += [name for name in tensors.keys() & weights.keys() if tensors[name].shape != weights[name].shape]
    if wrong:
        shown = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        raise UserError(f"{file}: its weights do not fit task.json and base.json beside it: {shown}")
    for name, parameter in weights.items():
        parameter.copy_(tensors[name])
