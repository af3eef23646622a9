"""From a source to a tokenizer and packed blocks on disk, built once for each fingerprint.

    CACHE/tokenizers/FINGERPRINT/   tokenizer.json, tokenizer_config.json, checksums.json
    CACHE/corpora/FINGERPRINT/      train.bin, held_out.bin, their checksums, manifest.json

A fingerprint covers everything that shaped the content: the source's own (file contents included),
the cleaning, the tokenizer, the split. Each directory is built beside its place and moved into it, so
that what exists is whole (`building.py`); an interrupted one is gone on with (`tokenising.py`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertinchamps.contract import Source
from bertinchamps.data.blocks import Blocks, open_blocks
from bertinchamps.data.building import MANIFEST, Tell, build_once
from bertinchamps.data.checksums import damaged
from bertinchamps.data.cleaning import clean, cleaning_problems, compares
from bertinchamps.data.enough import with_enough
from bertinchamps.data.file_hashes import cache_folder
from bertinchamps.data.held_out import held_out_rule
from bertinchamps.data.prepared import is_prepared, prepared_problems, read_export
from bertinchamps.data.progress import SPLITS
from bertinchamps.data.sources import sources
from bertinchamps.data.tokenising import Pass
from bertinchamps.data.tokenizer import (
    TOKENIZER_FILES,
    Vocabulary,
    open_tokenizer,
    tokenizer_problems,
    train_tokenizer,
    vocabulary,
)
from bertinchamps.durable import digest_of, read_sealed, write_sealed
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical, digest
from bertinchamps.launch import cores
from bertinchamps.schemas import BlocksConfig, PrepareConfig, TokenizerConfig, named

if TYPE_CHECKING:
    from bertinchamps.data.online import OnlineBlocks

# Raise it when the same settings would give other files. 5: documents are held out by their text before cleaning, and
# names of special tokens in them are text; checksums lie beside the blocks.
FORMAT_VERSION = 5

CHECKSUMS = "checksums.json"  # of a tokenizer's files


@dataclass(frozen=True)
class Corpus:
    """What pretraining reads.

    Attributes:
        folder: where the blocks are.
        tokenizer_folder: where the tokenizer is.
        fingerprint: names the content of both.
        train: blocks to train on, on disk or as they come.
        held_out: blocks never trained on.
        vocabulary: facts of the tokenizer.
        manifest: counts of documents, characters and tokens, and what was dropped and why.
    """

    folder: Path
    tokenizer_folder: Path
    fingerprint: str
    train: Blocks | OnlineBlocks
    held_out: Blocks
    vocabulary: Vocabulary
    manifest: dict[str, Any]


def prepare(config: PrepareConfig, tell: Tell) -> Corpus:
    """Build the tokenizer and the blocks, or find them built.

    Args:
        config: data, cleaning, tokenizer and blocks.
        tell: shown progress, a line at a time.

    Raises:
        UserError: documents cannot be read, or there are too few for one block of each split.
    """
    if is_prepared(config.data):
        return _unpacked(config, tell)
    plan = plan_corpus(config, tell)
    tokenizer = open_tokenizer(plan.tokenizer_folder)

    def fill(unfinished: Path) -> None:
        Pass(unfinished, plan.source, plan.config, tokenizer, processes(config.blocks), tell).run(plan.facts)

    build_once(plan.folder, fill, tell)
    return open_corpus(plan.folder, plan.tokenizer_folder, config.blocks, tell)


def _unpacked(config: PrepareConfig, tell: Tell) -> Corpus:
    """A corpus that was exported elsewhere, unpacked to where it would have been built."""
    export = read_export(config.data)
    export.check()
    folder = cache_dir(config.blocks) / "corpora" / export.fingerprint
    build_once(folder, lambda unfinished: export.unpack(unfinished, tell), tell)
    return open_corpus(folder, export.folder, config.blocks, tell)


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
    source = build_source(config.data)
    source.check()
    cache = cache_dir(config.blocks)
    # one that is being read cannot go to another process, as that of a stream does
    config = with_enough(config, copy.deepcopy(source) if quick else source, tell)
    facts = {"version": FORMAT_VERSION, "source": source.fingerprint(quick), "cleaning": config.cleaning}
    tokenizer_folder = _build_tokenizer(config, source, facts, cache, tell)
    facts |= {
        "tokenizer": _digest_of_tokenizer(tokenizer_folder),
        "held_out_share": config.blocks.held_out_share,
        **more,
    }
    if config.blocks.tokens_per_character is not None:
        facts["tokens_per_character"] = config.blocks.tokens_per_character
    return Plan(source, config, facts, tokenizer_folder, cache / kind / digest(canonical(facts)))


def corpus_problems(config: PrepareConfig) -> list[str]:
    """Mistakes in the settings of data, cleaning, tokenizer and blocks, in the user's key names."""
    if is_prepared(config.data):
        return prepared_problems(config) + _blocks_problems(config.blocks)
    problems = sources.problems(*named(_without_online(config.data)))
    problems += cleaning_problems(config.cleaning) + tokenizer_problems(config.tokenizer)
    undoing = [] if problems or config.data.get("name") != "mix" else compares(config.cleaning)
    if undoing:
        problems.append(
            f"cleaning: {', '.join(undoing)} would undo the up-sampling of a mix; give each of data.sources its own"
        )
    if not isinstance(config.data.get("online", False), bool):
        problems.append(f"data.online={config.data['online']}: true or false")
    if not problems and config.data.get("online"):
        problems += _online_problems(config)
    return problems + _blocks_problems(config.blocks)


def _blocks_problems(blocks: BlocksConfig) -> list[str]:
    problems = []
    if blocks.sequence_length < 8:
        problems.append(f"blocks.sequence_length={blocks.sequence_length}: must be at least 8")
    if not 0 < blocks.held_out_share < 1:
        problems.append(
            f"blocks.held_out_share={blocks.held_out_share}: a share between 0 and 1, such as 0.01"
        )
    if blocks.workers is not None and blocks.workers < 1:
        problems.append(f"blocks.workers={blocks.workers}: must be at least 1; null: one for each core")
    if blocks.tokens_per_character is not None and not 0 < blocks.tokens_per_character <= 1:
        problems.append(
            f"blocks.tokens_per_character={blocks.tokens_per_character}: above 0 and up to 1, such as 0.3; null: off"
        )
    return problems


def _online_problems(config: PrepareConfig) -> list[str]:
    """Steps that compare documents cannot go on in the middle of a corpus without all that they have seen."""
    nodes = [
        *config.cleaning,
        *(n for part in config.data.get("sources", ()) for n in part.get("cleaning", ())),
    ]
    names = ", ".join(dict.fromkeys(compares(nodes)))
    return (
        [f"data.online=true: {names} must have seen all documents before; leave it out, or prepare blocks"]
        if names
        else []
    )


def build_source(node: dict[str, Any]) -> Source:
    """The source that a `data` node names."""
    name, settings = named(_without_online(node))
    return sources.build(name, **settings)


def _without_online(node: dict[str, Any]) -> dict[str, Any]:
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
    """The directory of the tokenizer: the user's own, or one trained on a sample of the source, once.

    Args:
        config: data, cleaning, tokenizer and blocks.
        source: gives the sample.
        facts: what shapes the documents.
        cache: where tokenizers are kept.
        tell: shown progress.
    """
    settings: TokenizerConfig = config.tokenizer
    if settings.path is not None:
        return Path(settings.path).expanduser().resolve()
    shaping = {**vars(settings), **facts, "held_out_share": config.blocks.held_out_share}
    folder = cache / "tokenizers" / digest(canonical(shaping))

    def fill(unfinished: Path) -> None:
        tell(f"tokenizer: training on up to {settings.sample_characters:,} characters")
        sample, _ = clean(
            source.sample(settings.sample_characters), config.cleaning, processes(config.blocks)
        )
        held_out = held_out_rule(source, config.blocks.held_out_share)
        texts = (document.text for document in sample if not held_out(document))
        train_tokenizer(settings, texts, unfinished, tell)
        write_sealed(unfinished / CHECKSUMS, {name: digest_of(unfinished / name) for name in TOKENIZER_FILES})

    build_once(folder, fill, tell)
    _check_tokenizer(folder)
    return folder


def _check_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer that is not as it was written: its files are copied into models."""
    digests = _sealed(folder / CHECKSUMS)
    for name in TOKENIZER_FILES:
        file = folder / name
        if not file.is_file():
            raise damaged(file, "missing")
        if digest_of(file) != digests[name]:
            raise damaged(file, "not what was written")


def _digest_of_tokenizer(folder: Path) -> str:
    file = folder / "tokenizer.json"
    try:
        return digest_of(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error


def processes(config: BlocksConfig) -> int:
    """How many processes clean documents."""
    return config.workers or cores()


def open_corpus(folder: Path, tokenizer_folder: Path, config: BlocksConfig, tell: Tell) -> Corpus:
    """The blocks that were built.

    Args:
        folder: of the blocks, named by the fingerprint.
        tokenizer_folder: of their tokenizer.
        config: sequence length.
        tell: shown what is there.

    Raises:
        UserError: something of them is missing or damaged, or there is less than one block of a split.
    """
    manifest = read_manifest(folder)
    blocks = {}
    for split in SPLITS:
        blocks[split] = blocks_of(folder, split, manifest, config)
        if not len(blocks[split]):
            remedy = {
                "train": "give more text",
                "held_out": "raise blocks.held_out_share, give data.held_out_files, or split long files "
                "into documents (data.txt_documents=line)",
            }[split]
            raise UserError(
                f"the {split.replace('_', '-')} split has {manifest[split]['documents']} documents and "
                f"{manifest[split]['tokens']} tokens, less than one block of {config.sequence_length}: "
                f"{remedy}"
            )
    tell(
        f"blocks: {len(blocks['train']):,} to train on, {len(blocks['held_out']):,} held out, of "
        f"{config.sequence_length} tokens; {manifest['train']['documents']:,} + "
        f"{manifest['held_out']['documents']:,} documents ({folder})"
    )
    return Corpus(
        folder,
        tokenizer_folder,
        folder.name,
        blocks["train"],
        blocks["held_out"],
        vocabulary(open_tokenizer(tokenizer_folder)),
        manifest,
    )


def blocks_of(folder: Path, split: str, manifest: dict[str, Any], config: BlocksConfig) -> Blocks:
    """The blocks of a split.

    Raises:
        UserError: they are missing, or not as they were written.
    """
    tokens, digest = manifest[split]["tokens"], manifest["checksums"][split]
    return open_blocks(folder / f"{split}.bin", config.sequence_length, tokens, digest)


def check_all(corpus: Corpus) -> None:
    """Compare every byte of a corpus' blocks with its checksum: what training does with those that it reads.

    Raises:
        UserError: one is not as it was written.
    """
    for blocks in (corpus.train, corpus.held_out):
        if isinstance(blocks, Blocks):
            blocks.check()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of what was built.

    Raises:
        UserError: it is missing, or not as it was written.
    """
    return _sealed(folder / MANIFEST)


def _sealed(file: Path) -> dict[str, Any]:
    try:
        return read_sealed(file)
    except FileNotFoundError as error:
        raise damaged(file, "missing") from error
    except OSError as error:
        raise UserError(
            f"{file}: cannot be read ({error.strerror}); name a place of your own with blocks.cache_dir="
        ) from error
    except ValueError as error:
        raise damaged(file, "not what was written") from error
