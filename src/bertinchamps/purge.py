"""python -m bertinchamps.purge: finished or broken-off runs in; what they derived from documents is removed."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":
    command_line.run("purge")
    sys.exit()

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from bertinchamps.console import tell
from bertinchamps.data.file_hashes import NAME as HASHES
from bertinchamps.data.file_hashes import cache_folder
from bertinchamps.data.planning import cache_dir
from bertinchamps.data.samples import FOLDER
from bertinchamps.data.temporary import leftovers
from bertinchamps.durable import digest_of, write_json
from bertinchamps.errors import UserError
from bertinchamps.reporting.html.page import FILE as PAGE
from bertinchamps.schemas import BlocksConfig, PurgeConfig
from bertinchamps.training.run import locked
from bertinchamps.training.run_files import parts_of, read_facts

RECORD = "purged.json"
TOKENIZER = "tokenizer.json"
HEXADECIMAL = re.compile(r"[0-9a-f]{8,}")


class Found(NamedTuple):
    """Something to remove.

    Attributes:
        path: a file or a folder.
        what: is in it.
    """

    path: Path
    what: str


def purge(config: PurgeConfig) -> None:
    """Remove what the runs of one configuration derived from documents; without `remove=true` only tell.

    Raises:
        UserError: a run is being trained, or something cannot be removed.
    """
    for run in [Path(run).expanduser() for run in config.runs]:
        with locked(run):
            found = [*_of_run(run, config.keep == "model"), *(_of_cache(run) if config.corpus else ())]
            if not found:
                tell(f"nothing    {run}: nothing left that comes from documents")
            for path, what in found:
                about = f"{path}: {what}; {_megabytes(path):,.1f} MB"
                if config.remove:
                    _remove(path)
                tell(f"{'removed   ' if config.remove else 'found     '} {about}")
            if config.remove and found:
                _note(run, config.keep, [path.name for path, _ in found])
    if not config.remove:
        tell("note       nothing was removed; remove=true removes it, for good")


def _of_run(run: Path, keep_model: bool) -> Iterator[Found]:
    """What is in a run's directory, its folds and teachers included."""
    for folder in [run, *parts_of(run)]:
        named = {
            "predictions": "documents with their labels",
            "checkpoints": "weights, and the optimizer's state",
            PAGE: "a page, which may quote documents",
        }
        if not keep_model:
            named["model"] = "weights, and a tokenizer with words of the documents"
        for name, what in named.items():
            if (folder / name).exists():
                yield Found(folder / name, what)
        for left in sorted(folder.glob("*.unfinished")):
            yield Found(left, "left by a command that was killed")


def _of_cache(run: Path) -> Iterator[Found]:
    """The corpus in the cache on which a run was pretrained, its tokenizer, and what tells of files of anybody's."""
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    cache = cache_dir(BlocksConfig(cache_dir=settings.get("blocks", {}).get("cache_dir")))
    facts = read_facts(run)
    samples = facts.get("origins", {}).get("held_out_also", {}).values()
    places = [(kind, str(facts["data_fingerprint"])) for kind in ("corpora", "online")]
    for kind, fingerprint in [*places, *((FOLDER, str(sample["fingerprint"])) for sample in samples)]:
        folder = cache / kind / fingerprint
        if HEXADECIMAL.fullmatch(fingerprint) and folder.is_dir():  # never a folder of several
            yield Found(folder, "documents as token ids; other runs on them prepare them anew")
    for file in sorted(cache_folder().glob(f"{HASHES}*")):
        yield Found(
            file, "paths of files that were read; their hashes, and those of others, are computed anew"
        )
    for left in leftovers():
        yield Found(left, "examples that a fine_tune in Python was given, left by a process that was killed")
    own = {
        digest_of(file) for file in (*run.glob(f"model/{TOKENIZER}"), *run.glob(f"checkpoints/*/{TOKENIZER}"))
    }
    for file in sorted(cache.glob(f"tokenizers/*/{TOKENIZER}")):
        if digest_of(file) in own:
            yield Found(file.parent, "words of the documents; other runs with this tokenizer train it anew")


def _megabytes(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be removed ({error.strerror}); what was told before it is gone"
        ) from error


def _note(run: Path, keep: str, names: list[str]) -> None:
    """Write what was removed into the run, which tells later readers why it is not whole."""
    write_json(run / RECORD, {"when": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "keep": keep, "removed": names})
