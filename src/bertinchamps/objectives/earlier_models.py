"""Models that a run begins from, a teacher or a smaller model: found, compared with the corpus' tokenizer, recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from bertinchamps.data.corpus import Corpus
from bertinchamps.data.planning import without_online
from bertinchamps.data.pretraining_facts import read_facts, without_names
from bertinchamps.data.tokenizer import open_tokenizer as open_own
from bertinchamps.data.tokenizer_extension import read_parts
from bertinchamps.data.tokenizer_replacement import digest_of_entries, read_replacement
from bertinchamps.errors import UserError
from bertinchamps.model.adapters.bases import fingerprint_of
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.schemas import PretrainConfig

OF_PRETRAINING = (
    "spent",
    "objective",
    "overlap",
    "grown_from",
    "continued_from",
    "teacher",
)  # facts of an earlier model that a run's facts repeat


def tokenizer_mistakes(config: PretrainConfig, key: str, source: Path | str) -> list[str]:
    """Whether the corpus will have another tokenizer than a model, as far as that is known before any work.

    Args:
        config: the settings.
        key: and value of the setting that names the model, for messages.
        source: where the model is.
    """
    if config.data.get("name") == "prepared":
        return []  # it brings its tokenizer, which `refuse_other_tokenizer` compares
    if config.tokenizer.path is not None:
        try:
            own = open_own(Path(config.tokenizer.path).expanduser()).get_vocab()
            return _differences(key, source, own, f"tokenizer.path={config.tokenizer.path}")
        except UserError as error:
            return [str(error)]
    if _of_the_same_documents(config, source):
        return []
    return [f"{key}: the corpus needs that model's tokenizer, and would train another one; {_remedy(source)}"]


def refuse_other_tokenizer(corpus: Corpus, key: str, source: Path | str) -> None:
    """Compare the tokenizers of a corpus and of a model.

    Raises:
        UserError: an entry has another id, or is in one of them only.
    """
    if isinstance(source, Path) and source.resolve() == corpus.tokenizer_folder.resolve():
        return
    if (replacement := read_replacement(corpus.tokenizer_folder)) is not None:
        if digest_of_entries(open_tokenizer(str(source)).get_vocab()) != replacement.base:
            raise UserError(
                f"{key}: its tokenizer is not the one whose vocabulary that of the corpus ({corpus.tokenizer_folder}) "
                f"replaces; {_remedy(source)}"
            )
        return
    own = open_own(corpus.tokenizer_folder).get_vocab()
    if extension := read_parts(corpus.tokenizer_folder):
        own = {entry: index for entry, index in own.items() if index not in extension}
    for problem in _differences(key, source, own, f"the corpus ({corpus.tokenizer_folder})"):
        raise UserError(problem)


def origin_of(source: Path | str, model: Any) -> dict[str, Any]:
    """What a run's files record of such a model, JSON-able; they travel with the new model, so no path is in it.

    Args:
        source: where it is.
        model: opened.
    """
    facts = without_names(read_facts(str(source)) or {})
    return {
        "model": _short(source),
        "fingerprint": fingerprint_of(model),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **{key: facts[key] for key in OF_PRETRAINING if key in facts},
    }


def _differences(key: str, source: Path | str, own: Mapping[str, int], where: str) -> list[str]:
    """The message where the model's entries and ids are not `own`, without entries, which may be words of notes."""
    theirs: dict[str, int] = open_tokenizer(str(source)).get_vocab()
    if theirs == own:
        return []
    both = own.keys() & theirs.keys()
    moved = sum(own[entry] != theirs[entry] for entry in both)
    return [
        f"{key}: its tokenizer is not that of {where}: of {len(theirs):,} and {len(own):,} entries, {len(both):,} are "
        f"in both, {moved:,} of these with another id; {_remedy(source)}"
    ]


def _short(source: Path | str) -> str:
    """The name of a run, of a directory, or on the Hub."""
    if isinstance(source, str):
        return source
    folder = source.resolve()
    return folder.parent.name if folder.name == "model" else folder.name


def _remedy(source: Path | str) -> str:
    if isinstance(source, Path):
        return f"add tokenizer.path={source}, and the corpus is prepared with it"
    return (
        f"hf download {source} --local-dir DIR, then tokenizer.path=DIR, and the corpus is prepared with it"
    )


def _of_the_same_documents(config: PretrainConfig, source: Path | str) -> bool:
    """Whether a run of ours trained its tokenizer with these settings, so that the corpus' one will be the same."""
    try:
        before = yaml.safe_load((Path(source).parent / "config.yaml").read_bytes())
        return _shape_of_tokenizer(before) == _shape_of_tokenizer(asdict(config))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        return False


def _shape_of_tokenizer(settings: Mapping[str, Any]) -> list[Any]:
    data, share = without_online(settings["data"]), settings["blocks"]["held_out_share"]
    # keys that older runs did not have yet, at their defaults
    tokenizer = {
        key: value
        for key, value in settings["tokenizer"].items()
        if value is not None or key not in ("extend", "replace")
    }
    return [data, settings["cleaning"], tokenizer, share]
