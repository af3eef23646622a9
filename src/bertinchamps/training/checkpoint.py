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

from bertinchamps.durable import digest_of, flush_to_disk
from bertinchamps.errors import UserError

Tensors = dict[str, Any]
MANIFEST = "manifest.json"


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
        files = sorted(file for file in unfinished.rglob("*") if file.is_file())
        manifest = {str(file.relative_to(unfinished)): _facts(file) for file in files}
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for file in [*files, unfinished / MANIFEST]:
            flush_to_disk(file)
    except BaseException:
        shutil.rmtree(
            unfinished, ignore_errors=True
        )  # on a full disk, it would leave no room for the next one
        raise
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)
    flush_to_disk(folder.parent)


def problems(folder: Path) -> list[str]:
    """What is wrong with a checkpoint, each with the file's name; empty if all files are unchanged."""
    manifest_file = folder / MANIFEST
    try:
        manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
        entries = {
            str(name): (int(facts["bytes"]), str(facts["blake2b"])) for name, facts in manifest.items()
        }
    except FileNotFoundError:
        return [f"{manifest_file} is missing"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [f"{manifest_file} is damaged"]
    found = []
    for name, (size, digest) in entries.items():
        try:
            found += _file_problems(folder / name, size, digest)
        except (OSError, ValueError):  # no disk has such a name, or the file cannot be read
            found.append(f"{manifest_file} is damaged, or a file that it names cannot be read")
    return found


def _file_problems(file: Path, size: int, digest: str) -> list[str]:
    if not file.is_file():
        return [f"{file} is missing"]
    if file.stat().st_size != size:
        return [f"{file} is cut: {file.stat().st_size} bytes instead of {size}"]
    return [] if digest_of(file) == digest else [f"{file} was altered after it was written"]


def refuse_damaged(folder: Path) -> None:
    """Compare every file of a model with the manifest; a directory of another program has none.

    Raises:
        UserError: a file is missing, cut or altered.
    """
    found = problems(folder) if (folder / MANIFEST).is_file() else []
    if found:
        raise UserError(
            f"{'; '.join(found)}. The model is not read: restore the file from a copy, or, if you changed it on "
            f"purpose, delete {folder / MANIFEST}"
        )


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


def _facts(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "blake2b": digest_of(file)}
