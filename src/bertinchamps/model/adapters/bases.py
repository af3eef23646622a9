"""The encoder below an adapter: its fingerprint, the record of it, and memory that several models share.

FOLDER/base.json    the base's path or name and fingerprint, and the adapter with its settings
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical
from bertinchamps.model.configuration import OBJECTIVE_FIELDS
from bertinchamps.model.encoders import DROPOUTS
from bertinchamps.model.heads import DownstreamModel

FILE = "base.json"
FORMAT = 1  # to be raised when old files would be misread
POOLER = "pooler"  # weights that transformers may draw anew: a part of the head
# Keys of a configuration that do not change the hidden states of an evaluated encoder.
OF_A_HEAD = (
    "architectures", "dtype", "torch_dtype", "id2label", "label2id", "num_labels", "problem_type",
    "transformers_version", *OBJECTIVE_FIELDS,
    "_name_or_path", "name_or_path", "output_hidden_states", "output_attentions", "return_dict", "finetuning_task",
)  # fmt: skip


@dataclass(frozen=True)
class BaseRecord:
    """The content of base.json.

    Attributes:
        base: an absolute path, or a name on the Hub.
        fingerprint: of the encoder there.
        adapter: {name, **settings}.
        format: version of this file.
    """

    base: str
    fingerprint: str
    adapter: dict[str, Any]
    format: int = FORMAT

    def save(self, folder: Path) -> None:
        """Write base.json."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False), encoding="utf-8")


def read_record(folder: Path) -> BaseRecord:
    """The record of an adapter's directory.

    Raises:
        UserError: base.json is missing, damaged or of another version.
    """
    file = folder / FILE
    try:
        record = BaseRecord(**json.loads(file.read_text(encoding="utf-8")))
        if record.format != FORMAT:
            raise UserError(
                f"{file}: format {record.format}, but this version of bertinchamps reads {FORMAT}"
            )
        if not isinstance(record.adapter.get("name"), str):
            raise TypeError
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: missing or damaged ({type(error).__name__})") from error
    return record


def encoder_of(model: DownstreamModel) -> Any:
    """The encoder without any head."""
    return model.model.base_model


def fingerprint_of(encoder: Any) -> str:
    """A digest of an encoder's weights and architecture: 32 hexadecimal digits.

    Dropouts, a head's settings and poolers do not count. Weights are read as they are in memory.
    """
    found = hashlib.blake2b(digest_size=16)
    settings = encoder.config.to_diff_dict()
    kept = {key: value for key, value in settings.items() if key not in OF_A_HEAD and key not in DROPOUTS}
    found.update(canonical({"model_type": encoder.config.model_type, **kept}).encode())
    for name, weights in sorted(encoder.named_parameters()):
        if POOLER in name.split("."):
            continue
        plain = weights.detach().to("cpu").contiguous()
        found.update(f"{name} {tuple(plain.shape)} {plain.dtype}".encode())
        found.update(plain.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


@dataclass
class SharedBases:
    """Frozen encoders by fingerprint: models that are opened with one of these share the memory of their bases."""

    parameters: dict[str, dict[str, nn.Parameter]] = field(default_factory=dict)

    def share(self, fingerprint: str, encoder: nn.Module) -> None:
        """Let an encoder with frozen weights use those of an earlier one with the same fingerprint."""
        known = self.parameters.setdefault(fingerprint, {})
        for name, module, leaf in list(_frozen(encoder)):
            shared = known.setdefault(name, module._parameters[leaf])  # type: ignore[arg-type]
            module._parameters[leaf] = shared


def _frozen(encoder: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Name in the plain encoder, module and its own name of each frozen parameter, poolers apart."""
    for path, module in encoder.named_modules():
        for leaf, parameter in module._parameters.items():
            parts = [part for part in path.split(".") if part != "base_layer"]  # as peft wraps modules
            if parameter is not None and not parameter.requires_grad and POOLER not in parts:
                yield ".".join((*parts, leaf)), module, leaf
