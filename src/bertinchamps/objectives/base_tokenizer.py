"""The tokenizer of a model that pretraining goes on from: a directory that `tokenizer.path` could name.

A base on the Hub, or one with files of a slow tokenizer alone, gets a directory in the cache:

    CACHE/tokenizers/DIGEST/   the base's own files of a tokenizer, and tokenizer.json where it has none
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import yaml

from bertinchamps.data.planning import cache_dir
from bertinchamps.data.prepared import is_prepared
from bertinchamps.data.tokenizer import OTHER_TOKENIZER_FILES, TOKENIZER_FILES
from bertinchamps.durable import digest_of
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical, digest
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.model.locating import located
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.checkpoint import all_of

KEY = "model"
FILES = (*TOKENIZER_FILES, *OTHER_TOKENIZER_FILES, "config.json")


def with_tokenizer_of_base(config: PretrainConfig) -> PretrainConfig:
    """The settings with which a corpus is prepared: `tokenizer.path` is the base's own unless it is given.

    Raises:
        UserError: the base's tokenizer cannot be opened.
    """
    if config.model is None or config.tokenizer.path is not None or is_prepared(config.data):
        return config
    try:
        folder = gathered(located(KEY, config.model), cache_dir(config.blocks) / "tokenizers")
        return replace(config, tokenizer=replace(config.tokenizer, path=str(folder)))
    except UserError:
        for checkpoint in _checkpoints(config):  # a run that is resumed may have lost its base
            # whose vocabulary was changed already
            whole = replace(config.tokenizer, path=str(checkpoint), extend=None, replace=None)
            return replace(config, tokenizer=whole)
        raise


def gathered(source: Path | str, cache: Path) -> Path:
    """A directory with all files of a model's tokenizer: the model's own, or one in the cache.

    Args:
        source: a directory, or a name on the Hub.
        cache: where directories are kept, by the digest of their files.

    Raises:
        UserError: transformers opens no fast tokenizer there.
    """
    if isinstance(source, Path) and all((source / name).is_file() for name in TOKENIZER_FILES):
        return source.resolve()
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".of-a-model-") as place:
        whole = Path(place) / "whole"
        whole.mkdir()
        folder = source if isinstance(source, Path) else _downloaded(source)
        for name in FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, whole / name)
        if not all((whole / name).is_file() for name in TOKENIZER_FILES):
            _complete(source, whole, Path(place) / "saved")
        names = sorted(file.name for file in whole.iterdir())
        target = cache / digest(canonical({name: digest_of(whole / name) for name in names}))
        try:
            whole.rename(target)
        except OSError:  # it is there, perhaps since another process of this job has made it
            if not target.is_dir():
                raise
    return target


def _downloaded(name: str) -> Path:
    """A directory with the tokenizer's files of a model on the Hub, or in its cache where the Hub is out of reach."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # many classes, from the network to a name that is none
        raise UserError(
            f"{KEY}={name}: the files of its tokenizer cannot be read ({type(error).__name__})"
        ) from error


def _complete(source: Path | str, whole: Path, saved: Path) -> None:
    """Write the files of a fast tokenizer that a model lacks, as transformers makes them of the others."""
    open_tokenizer(str(source)).save_pretrained(saved)
    settings = saved / "tokenizer_config.json"
    found = json.loads(settings.read_text(encoding="utf-8"))
    for key in ("split_special_tokens", "name_or_path", "local_files_only", "is_local"):  # of this opening
        found.pop(key, None)
    settings.write_text(json.dumps(found, indent=2, ensure_ascii=False), encoding="utf-8")
    for name in TOKENIZER_FILES:
        if not (whole / name).is_file():
            shutil.copyfile(saved / name, whole / name)


def _checkpoints(config: PretrainConfig) -> Iterator[Path]:
    """The newest checkpoint of each run with this base that `resume` may mean; it has the tokenizer."""
    if config.resume == "never":
        return
    if config.resume != "auto":
        runs = [Path(config.resume)]
    elif config.run_dir is not None:
        runs = [Path(config.run_dir)]
    else:
        runs = sorted(Path(config.runs_dir).expanduser().glob("*"), reverse=True)
    for run in runs:
        try:
            settings = yaml.safe_load((run.expanduser() / "config.yaml").read_bytes())
            same = settings[KEY] == config.model
        except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
            continue
        found = all_of(run.expanduser() / "checkpoints")
        if same and found:
            yield found[-1]
