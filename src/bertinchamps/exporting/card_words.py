"""What a card tells of a run: numbers, settings and names of public data, and no path, file, label or text.

Values of a command line are shown where they are numbers, or names of files that are shipped in configs/.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from bertinchamps.composing import config_dir
from bertinchamps.model.heads import heads

HIDDEN = "…"
NUMBERS = re.compile(r"\[?-?\d[\d.]*(e-?\d+)?(,-?\d[\d.]*(e-?\d+)?)*\]?|true|false|null")
A_PLACE = re.compile(r"[/\\~]|\.[A-Za-z]\w{0,7}\b")  # a folder, or the end of a file's name


def command(given: str) -> str:
    """A command line without what its user named: files, folders, columns, titles."""
    words = shlex.split(given)
    return " ".join([*words[:3], *map(_shown, words[3:])])


def _shown(word: str) -> str:
    key, equals, value = word.partition("=")
    name = key.lstrip("+~")
    if not equals:
        return word if re.fullmatch(r"--?[\w-]+", word) else HIDDEN
    known = re.fullmatch(r"[\w-]+", value) and (config_dir() / name / f"{value}.yaml").is_file()
    if NUMBERS.fullmatch(value) or known or (name == "head" and value in heads.names()):
        return word
    return f"{key}={HIDDEN}"


def sources(data: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Each source of a corpus in words, and its name on the Hub.

    Args:
        data: the node of config.yaml.
    """
    name = str(data.get("name"))
    if name == "mix":
        for part in data.get("sources", ()):
            for words, repository in sources(part):
                yield f"{words} (weight {part.get('weight', 1):g})", repository
        return
    repository = data.get("repository")
    if isinstance(repository, str):
        yield f"the dataset {repository} of the Hugging Face Hub", repository
        return
    yield (
        {
            "files": "files of the model's makers, which are not named here",
            "prepared": "a corpus that the model's makers prepared, and which is not named here",
            "demo": "the generated demo corpus of bertinchamps",
        }.get(name, f"the source {name} of bertinchamps"),
        None,
    )


def task_name(task: Mapping[str, Any], title: str) -> str | None:
    """The name of a public task; None for examples of the user's own.

    Args:
        task: the node of config.yaml.
        title: as results.json has it.
    """
    own = {"train", "templates", "title"} & {key for key, value in task.items() if value is not None}
    return None if own or A_PLACE.search(title) else title


def remarks(given: list[str]) -> list[str]:
    """Those in which no file can be named."""
    return [remark for remark in given if not A_PLACE.search(remark)]


def read_config(run: Path) -> dict[str, Any]:
    """The settings of a run; none where they cannot be read."""
    try:
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}


def hub_name(encoder: str) -> str | None:
    """The name on the Hub of the encoder that a run started from; None where it came from elsewhere.

    A name counts where the encoder was read from the Hub into the cache of this machine: a folder may look alike.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(encoder).exists():
        return None
    try:
        return encoder if isinstance(try_to_load_from_cache(encoder, "config.json"), str) else None
    except HFValidationError:
        return None
