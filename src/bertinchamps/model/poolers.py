"""Poolers of a masked language model's files: its class has no place for them, and others that read the files do.

BERT's text classifiers read a pooler that pretraining on pairs of sentences has trained. A model that is trained
further hands it on as it was.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"
POOLER = "pooler"


def poolers_of(source: str) -> dict[str, torch.Tensor]:
    """The weights of poolers in the files of a model, by name; none where it has no one file of safetensors.

    Args:
        source: a directory, or a name on the Hub that was opened before.
    """
    from transformers.utils.hub import cached_file

    file: Path | None = Path(source) / WEIGHTS
    if not Path(source).is_dir():
        found = cached_file(
            source, WEIGHTS, local_files_only=True, _raise_exceptions_for_missing_entries=False
        )
        file = None if found is None else Path(found)
    if file is None or not file.is_file():
        return {}
    try:
        with safe_open(str(file), "pt") as tensors:
            names = [name for name in tensors.keys() if POOLER in name.split(".")]  # noqa: SIM118 (no mapping)
            return {name: tensors.get_tensor(name).float() for name in names}
    except (OSError, SafetensorError):  # opening the model tells it
        return {}


def add_poolers(folder: Path, poolers: dict[str, torch.Tensor]) -> None:
    """Write poolers beside the weights of a saved model, but those that it has of its own."""
    if not poolers:
        return
    file = folder / WEIGHTS
    save_file({**poolers, **load_file(file)}, file, {"format": "pt"})
