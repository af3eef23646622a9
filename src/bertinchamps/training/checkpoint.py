"""Checkpoints: directories that Hugging Face opens, with the resume state in a folder of its own.

    RUN/checkpoints/step-00000200/
        config.json model.safetensors tokenizer.json …   what `from_pretrained` reads
        resume/optimizer.pt resume/state.json            the resume state
        manifest.json                                    size and digest of each file above

A checkpoint is written beside its place and renamed into it, so that a directory with that name is
whole; the manifest shows whether a file was cut or altered later. Nothing is unpickled without
`weights_only=True`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from bertinchamps.durable import flush_names, flush_tree
from bertinchamps.errors import UserError
from bertinchamps.manifests import problems, write_manifest

Tensors = dict[str, Any]


def write(
    folder: Path,
    save_model: Callable[[Path], None],
    optimizer: Tensors,
    state: dict[str, Any],
    save_hooks: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write a checkpoint at `folder`, whole or not at all.

    Args:
        folder: the final path; replaced if it exists.
        save_model: writes the model and tokenizer files into the directory it is given.
        optimizer: tensors and plain values.
        state: JSON-able.
        save_hooks: writes the state of hooks into the `resume` folder that it is given.
    """

    def fill(unfinished: Path) -> None:
        save_model(unfinished)
        (unfinished / "resume").mkdir()
        torch.save(optimizer, unfinished / "resume" / "optimizer.pt")
        (unfinished / "resume" / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
        save_hooks(unfinished / "resume")

    write_directory(folder, fill)


def write_directory(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a directory with files and a manifest, then move it to its name in one step.

    Raises:
        OSError: the disk is full, or the directory cannot be written for another reason.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        try:
            fill(unfinished)
        except (SafetensorError, RuntimeError) as error:  # how safetensors and torch report a full disk
            raise OSError(f"{unfinished}: {error}") from error
        write_manifest(unfinished)
        flush_tree(unfinished)
    except BaseException:
        shutil.rmtree(
            unfinished, ignore_errors=True
        )  # on a full disk, it would leave no room for the next one
        raise
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)
    flush_names(folder.parent)


def latest(checkpoints: Path, warn: Callable[[str], None]) -> Path | None:
    """The newest whole checkpoint, or None where there is none. Damaged checkpoints are renamed.

    Args:
        checkpoints: the run's folder of checkpoints.
        warn: prints which checkpoint is refused, and why.
    """
    for folder in reversed(all_of(checkpoints)):
        found = problems(folder)
        if not found:
            return folder
        warn(f"checkpoint {folder} is refused: {'; '.join(found)}. Trying the one before it.")
        refused = folder.with_name(f"{folder.name}.refused")  # not one of the latest to keep
        shutil.rmtree(refused, ignore_errors=True)
        folder.rename(refused)
    return None


def all_of(checkpoints: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    if not checkpoints.is_dir():
        return []
    return sorted(folder for folder in checkpoints.iterdir() if re.fullmatch(r"step-\d{8}", folder.name))


def name_of(step: int) -> str:
    """The directory name of the checkpoint after `step` updates."""
    return f"step-{step:08d}"


def keep_latest(checkpoints: Path, keep: int) -> None:
    """Delete all but the newest checkpoints, and unfinished ones of a killed process."""
    for folder in [*all_of(checkpoints)[:-keep], *checkpoints.glob(".*.unfinished")]:
        shutil.rmtree(folder)


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON part of the resume state."""
    state: dict[str, Any] = json.loads((folder / "resume" / "state.json").read_text(encoding="utf-8"))
    return state


def read_optimizer(folder: Path) -> Tensors:
    """The optimizer's part of the resume state, on the CPU.

    Raises:
        UserError: the file is damaged, or holds anything but tensors and plain values.
    """
    file = folder / "resume" / "optimizer.pt"
    try:
        tensors: Tensors = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{file}: not a resume state that this program wrote ({type(error).__name__})"
        ) from error
    return tensors
