"""What a corpus will be made of, and its name: a digest of everything that shapes the content.

That is the source's own fingerprint (file contents included), the cleaning, the tokenizer and the split. The tokenizer
is built on the way, because the name depends on it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertinchamps.console import Tell
from bertinchamps.contract import Noting, Source
from bertinchamps.data.building import build_once
from bertinchamps.data.checksums import damaged
from bertinchamps.data.cleaning.best import SAMPLE_CHARACTERS, threshold, undecided
from bertinchamps.data.cleaning.cleaner import clean
from bertinchamps.data.cleaning.stages import shaping
from bertinchamps.data.corpus import read_whole
from bertinchamps.data.enough import with_enough
from bertinchamps.data.file_hashes import cache_folder
from bertinchamps.data.held_out import held_out_rule
from bertinchamps.data.sources import sources
from bertinchamps.data.sources.mix import OF_THE_MIX
from bertinchamps.data.tokenizer import TOKENIZER_FILES, shaping_facts
from bertinchamps.data.tokenizer_extension import extend_tokenizer
from bertinchamps.data.tokenizer_replacement import replace_tokenizer
from bertinchamps.data.tokenizer_training import train_tokenizer
from bertinchamps.durable import digest_of, write_sealed
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical, digest
from bertinchamps.launch import cores
from bertinchamps.schemas import BlocksConfig, PrepareConfig, TokenizerConfig, named

# Raise it when the same settings would give other files. 5: documents are held out by their text before cleaning, and
# names of special tokens in them are text; checksums lie beside the blocks.
FORMAT_VERSION = 5

CHECKSUMS = "checksums.json"  # of a tokenizer's files
THRESHOLD = "threshold.json"  # of a step that keeps the best share of the documents


@dataclass(frozen=True)
class Plan:
    """A corpus that may not have been built yet.

    Attributes:
        source: checked.
        config: data, cleaning, tokenizer and blocks, with the share that is held out.
        facts: what shapes it.
        tokenizer_folder: where its tokenizer is.
        folder: where it is or will be.
    """

    source: Source
    config: PrepareConfig
    facts: dict[str, Any]
    tokenizer_folder: Path
    folder: Path


def plan_corpus(
    config: PrepareConfig, tell: Tell, kind: str = "corpora", quick: bool = False, **more: object
) -> Plan:
    """Check the source, build the tokenizer or find it built, and name the corpus by what shapes it.

    What a corpus cannot be made of is refused before the tokenizer is trained.

    Args:
        config: data, cleaning, tokenizer and blocks.
        tell: shown progress, a line at a time.
        kind: the folder of the cache.
        quick: do not read all of the source for its fingerprint.
        more: facts that shape this kind, too.
    """
    config, source = checked_source(config, tell, quick)
    for note in source.notes() if isinstance(source, Noting) else ():
        tell(f"note: {note}")
    cache = cache_dir(config.blocks)
    # one that is being read cannot go to another process, as that of a stream does
    config = with_enough(config, copy.deepcopy(source) if quick else source, tell)
    cleaning = shaping(config.cleaning)
    facts = {"version": FORMAT_VERSION, "source": source.fingerprint(quick), "cleaning": cleaning}
    tokenizer_folder = _build_tokenizer(config, source, facts, cache, tell)
    facts |= {
        "tokenizer": digest_of_tokenizer(tokenizer_folder),
        **shaping_facts(tokenizer_folder),
        "held_out_share": config.blocks.held_out_share,
        **more,
    }
    if config.blocks.tokens_per_character is not None:
        facts["tokens_per_character"] = config.blocks.tokens_per_character
    return Plan(source, config, facts, tokenizer_folder, cache / kind / digest(canonical(facts)))


def checked_source(config: PrepareConfig, tell: Tell, quick: bool = False) -> tuple[PrepareConfig, Source]:
    """The settings with a threshold in the place of each share of the best documents, and their source, checked.

    A threshold is found once, and kept in CACHE/thresholds/FINGERPRINT/threshold.json.

    Args:
        config: data, cleaning and blocks.
        tell: shown each threshold.
        quick: do not read all of the source for its fingerprint.

    Raises:
        UserError: documents cannot be read, or too few of them have a score.
    """
    source = build_source(config.data)
    source.check()
    settled = _with_thresholds(config, tell, quick)
    return settled, source if settled is config else build_source(settled.data)


def _with_thresholds(config: PrepareConfig, tell: Tell, quick: bool) -> PrepareConfig:
    """The same settings where no step has a share; those of a mix see what the steps of its parts leave."""
    parts: Sequence[dict[str, Any]] = config.data.get("sources", ())
    steps = [*config.cleaning, *(step for part in parts for step in part.get("cleaning", ()))]
    if undecided(steps) is None:
        return config
    cache, data = cache_dir(config.blocks) / "thresholds", config.data
    if parts:
        data = {**data, "sources": [_settled_part(*part, cache, tell, quick) for part in enumerate(parts)]}
    return replace(config, data=data, cleaning=_settled(data, config.cleaning, cache, tell, quick))


def _settled_part(place: int, part: dict[str, Any], cache: Path, tell: Tell, quick: bool) -> dict[str, Any]:
    """A part of a mix, with thresholds in its own steps."""
    where = f"data.sources[{place}]"
    alone = {key: value for key, value in part.items() if key not in OF_THE_MIX}
    try:
        nodes = _settled(alone, part.get("cleaning", []), cache, lambda line: tell(f"{where}: {line}"), quick)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return {**part, "cleaning": nodes}


def _settled(
    data: dict[str, Any], nodes: list[dict[str, Any]], cache: Path, tell: Tell, quick: bool
) -> list[dict[str, Any]]:
    """The steps of a source, each with its threshold."""
    place = undecided(nodes)
    if place is None:
        return nodes
    up_to, source = nodes[: place + 1], build_source(data)
    name, settings = named(up_to[-1])
    facts = {
        "version": FORMAT_VERSION,
        "source": source.fingerprint(quick),
        "cleaning": shaping(up_to),
        "characters": SAMPLE_CHARACTERS,
    }
    folder = cache / digest(canonical(facts))

    def fill(unfinished: Path) -> None:
        write_sealed(unfinished / THRESHOLD, threshold(up_to, source.sample(SAMPLE_CHARACTERS)))

    build_once(folder, fill, tell)
    found, share = read_whole(folder / THRESHOLD), settings.pop("best")
    tell(
        f"cleaning: {name} keeps the best {share:.4g} of the documents, from {found['least']:.4g} on, by a sample of "
        f"{found['documents']:,}"
    )
    node = {"name": name, **settings, "least": found["least"]}
    return _settled(data, [*up_to[:-1], node, *nodes[place + 1 :]], cache, tell, quick)


def build_source(node: dict[str, Any]) -> Source:
    """The source that a `data` node names."""
    name, settings = named(without_online(node))
    return sources.build(name, **settings)


def without_online(node: dict[str, Any]) -> dict[str, Any]:
    """The node without what says how it is read, not what."""
    return {key: value for key, value in node.items() if key != "online"}


def cache_dir(config: BlocksConfig) -> Path:
    """Where tokenizers and blocks are kept: its owner's alone, since it holds the documents' words."""
    folder = Path(config.cache_dir).expanduser().resolve() if config.cache_dir else cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "corpora").is_dir()  # whether we may look into it
    except OSError as error:
        raise UserError(
            f"{folder}: no cache can be kept there ({error.strerror}); blocks.cache_dir= names another place"
        ) from error
    return folder


def _build_tokenizer(
    config: PrepareConfig, source: Source, facts: dict[str, Any], cache: Path, tell: Tell
) -> Path:
    """The directory of the tokenizer: the user's own, or one trained or changed on a sample of the source, once.

    Args:
        config: data, cleaning, tokenizer and blocks.
        source: gives the sample.
        facts: what shapes the documents.
        cache: where tokenizers are kept.
        tell: shown progress.
    """
    settings: TokenizerConfig = config.tokenizer
    base = None if settings.path is None else Path(settings.path).expanduser().resolve()
    if base is not None and settings.extend is None and settings.replace is None:
        return base
    shaping = {
        key: value for key, value in vars(settings).items() if value not in (None, False) or key == "path"
    }
    shaping |= {**facts, "held_out_share": config.blocks.held_out_share}
    if base is not None:
        shaping |= {"path": None, "base": digest_of_tokenizer(base), **shaping_facts(base)}
    folder = cache / "tokenizers" / digest(canonical(shaping))

    def fill(unfinished: Path) -> None:
        most = settings.sample_characters
        looking = base is not None and settings.extend is not None
        tell(f"tokenizer: {'looking for words in' if looking else 'training on'} up to {most:,} characters")
        sample, _ = clean(source.sample(most), config.cleaning, processes(config.blocks))
        held_out = held_out_rule(source, config.blocks.held_out_share)
        if base is None:
            texts = (document.text for document in sample if not held_out(document))
            train_tokenizer(settings, texts, unfinished, tell)
        else:
            change = extend_tokenizer if looking else replace_tokenizer
            change(base, settings, sample, held_out, unfinished, tell)
        write_sealed(unfinished / CHECKSUMS, {name: digest_of(unfinished / name) for name in TOKENIZER_FILES})

    build_once(folder, fill, tell)
    _check_tokenizer(folder)
    return folder


def _check_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer that is not as it was written: its files are copied into models."""
    digests = read_whole(folder / CHECKSUMS)
    for name in TOKENIZER_FILES:
        file = folder / name
        if not file.is_file():
            raise damaged(file, "missing")
        if digest_of(file) != digests[name]:
            raise damaged(file, "not what was written")


def digest_of_tokenizer(folder: Path) -> str:
    """What names a tokenizer.

    Raises:
        UserError: its file cannot be read.
    """
    file = folder / "tokenizer.json"
    try:
        return digest_of(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error


def processes(config: BlocksConfig) -> int:
    """How many processes clean documents."""
    return config.workers or cores()
