"""From a source to a tokenizer and packed blocks on disk, built once for each fingerprint.

    CACHE/tokenizers/FINGERPRINT/   tokenizer.json, tokenizer_config.json
    CACHE/corpora/FINGERPRINT/      train.bin, held_out.bin, manifest.json

A fingerprint covers everything that shaped the content: the source's own (file contents included),
the cleaning, the tokenizer, the split. Each directory is built beside its place and moved into it, so
that what exists is whole; memory does not grow with the corpus.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bertinchamps.config import BlocksConfig, PrepareConfig, TokenizerConfig, canonical, named
from bertinchamps.contract import Document, Reporting, Source
from bertinchamps.data.blocks import Blocks, TokenWriter
from bertinchamps.data.cleaning import Documents, clean, cleaning_problems, dropped
from bertinchamps.data.file_hashes import cache_folder
from bertinchamps.data.sources import sources
from bertinchamps.data.tokenizer import (
    Vocabulary,
    open_tokenizer,
    tokenizer_problems,
    train_tokenizer,
    vocabulary,
)
from bertinchamps.errors import UserError

FORMAT_VERSION = 3  # raise it when the same settings would give other files
CHARACTERS_AT_ONCE = 4_000_000  # tokenised together: enough to keep the cores busy, little enough to hold
DOCUMENTS_AT_ONCE = 4_096
SEES_COPIES = ("exact_duplicates", "near_duplicates", "repeated_lines")
SECONDS_BETWEEN_NOTES = 10
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Corpus:
    """What pretraining reads.

    Attributes:
        folder: where the blocks are.
        tokenizer_folder: where the tokenizer is.
        fingerprint: names the content of both.
        train: blocks to train on.
        held_out: blocks never trained on.
        vocabulary: facts of the tokenizer.
        manifest: counts of documents, characters and tokens, and what was dropped and why.
    """

    folder: Path
    tokenizer_folder: Path
    fingerprint: str
    train: Blocks
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
    name, settings = named(config.data)
    source = sources.build(name, **settings)
    source.check()
    cache = cache_dir(config.blocks)
    facts = {"version": FORMAT_VERSION, "source": source.fingerprint(), "cleaning": config.cleaning}
    tokenizer_folder = _tokenizer(config, source, facts, cache, tell)
    tokenizer = open_tokenizer(tokenizer_folder)
    facts |= {
        "tokenizer": _digest((tokenizer_folder / "tokenizer.json").read_text(encoding="utf-8")),
        "held_out_share": config.blocks.held_out_share,
    }
    if config.blocks.tokens_per_character is not None:
        facts["tokens_per_character"] = config.blocks.tokens_per_character
    fingerprint = _digest(canonical(facts))
    folder = cache / "corpora" / fingerprint

    def fill(unfinished: Path) -> None:
        _write_tokens(unfinished, source, config, tokenizer, facts, tell)

    _build_once(folder, fill)
    return _open(folder, tokenizer_folder, tokenizer, config.blocks, tell)


def corpus_problems(config: PrepareConfig) -> list[str]:
    """Mistakes in the settings of data, cleaning, tokenizer and blocks, in the user's key names."""
    problems = sources.problems(*named(config.data))
    problems += cleaning_problems(config.cleaning) + tokenizer_problems(config.tokenizer)
    undoing = [node["name"] for node in config.cleaning if node.get("name") in SEES_COPIES]
    if config.data.get("name") == "mix" and undoing:
        problems.append(
            f"cleaning: {', '.join(undoing)} would undo the up-sampling of a mix; give each of data.sources its own"
        )
    blocks = config.blocks
    if blocks.sequence_length < 8:
        problems.append(f"blocks.sequence_length={blocks.sequence_length}: must be at least 8")
    if not 0 < blocks.held_out_share < 1:
        problems.append(
            f"blocks.held_out_share={blocks.held_out_share}: a share between 0 and 1, such as 0.01"
        )
    if blocks.tokens_per_character is not None and not 0 < blocks.tokens_per_character <= 1:
        problems.append(
            f"blocks.tokens_per_character={blocks.tokens_per_character}: above 0 and up to 1, such as 0.3; null: off"
        )
    return problems


def cache_dir(config: BlocksConfig) -> Path:
    """Where tokenizers and blocks are kept: its owner's alone, since it holds the documents' words."""
    folder = Path(config.cache_dir).expanduser().resolve() if config.cache_dir else cache_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


# ------------------------------------------------------------------------------------ the two stages


def _tokenizer(config: PrepareConfig, source: Source, facts: dict[str, Any], cache: Path, tell: Tell) -> Path:
    settings: TokenizerConfig = config.tokenizer
    if settings.path is not None:
        return Path(settings.path).expanduser().resolve()
    shaping = {**vars(settings), **facts, "held_out_share": config.blocks.held_out_share}
    folder = cache / "tokenizers" / _digest(canonical(shaping))

    def fill(unfinished: Path) -> None:
        tell(f"tokenizer: training on up to {settings.sample_characters:,} characters")
        sample, _ = clean(source.sample(settings.sample_characters), config.cleaning)
        held_out = _held_out_rule(source, config.blocks.held_out_share)
        texts = (document.text for document in sample if not held_out(document))
        train_tokenizer(settings, texts, unfinished, tell)

    _build_once(folder, fill)
    return folder


def _write_tokens(
    folder: Path,
    source: Source,
    config: PrepareConfig,
    tokenizer: Tokenizer,
    facts: dict[str, Any],
    tell: Tell,
) -> None:
    began, noted = time.monotonic(), time.monotonic()
    separator = vocabulary(tokenizer).separator_id
    documents, counts = clean(source.documents(), config.cleaning)
    out_of_training: Counter[str] = Counter()
    characters = 0
    densest = config.blocks.tokens_per_character or math.inf
    with (
        TokenWriter(folder / "train.bin", separator) as train,
        TokenWriter(folder / "held_out.bin", separator) as held_out,
    ):
        for group in _groups(_split_documents(source, documents, config, out_of_training)):
            encoded = _encode(tokenizer, [document.text for document, _ in group])
            ids: dict[bool, list[list[int]]] = {False: [], True: []}
            for (document, out), encoding in zip(group, encoded, strict=True):
                if not out and len(encoding.ids) > densest * len(document.text):
                    out_of_training["too many tokens a character"] += 1
                else:
                    ids[out].append(encoding.ids)
                    characters += len(document.text)
            train.add(ids[False])
            held_out.add(ids[True])
            if time.monotonic() - noted > SECONDS_BETWEEN_NOTES:
                noted = time.monotonic()
                tell(f"blocks: {train.documents:,} documents, {train.tokens:,} tokens")
        splits = {
            "train": {"documents": train.documents, "tokens": train.tokens},
            "held_out": {"documents": held_out.documents, "tokens": held_out.tokens},
        }
    manifest = {
        **splits,
        "characters": characters,
        "cleaning": [count.facts() for count in counts],
        "dropped": dict(dropped(counts) + out_of_training),
        **(source.report() if isinstance(source, Reporting) else {}),
        "seconds": round(time.monotonic() - began, 2),
        "shaped_by": facts,
    }
    (folder / "manifest.json").write_text(
        json.dumps(manifest, indent=2, ensure_ascii=False), encoding="utf-8"
    )


def _split_documents(
    source: Source, documents: Documents, config: PrepareConfig, out_of_training: Counter[str]
) -> Iterator[tuple[Document, bool]]:
    """Each document with whether it is held out.

    The user's own held-out documents are not cleaned, and exact copies of them are dropped from training.
    """
    own = source.held_out()
    held_out = _held_out_rule(source, config.blocks.held_out_share)
    for document in documents:
        out = held_out(document)
        if out and own is not None:
            out_of_training["copy of a held-out document"] += 1
        else:
            yield document, out
    for document in own or ():
        yield document, True


def _held_out_rule(source: Source, share: float) -> Callable[[Document], bool]:
    """Which of the source's documents must not be trained on: a share, or copies of those set aside."""
    own = source.held_out()
    if own is None:
        return lambda document: is_held_out(document, share)
    numbers = {_text_number(document) for document in own}
    return lambda document: _text_number(document) in numbers


def is_held_out(document: Document, share: float) -> bool:
    """Whether a document is kept out of training: decided by its text, so that exact copies stay together."""
    return _text_number(document) < share * 2**64


def _text_number(document: Document) -> int:
    """A number from 0 to 2^64 - 1 that the text alone decides."""
    digest = hashlib.blake2b(document.text.encode(), digest_size=8, person=b"held out").digest()
    return int.from_bytes(digest, "big")


def _groups(documents: Iterable[tuple[Document, bool]]) -> Iterator[list[tuple[Document, bool]]]:
    """Groups of documents of a bounded number of characters."""
    group: list[tuple[Document, bool]] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document[0].text)
        if characters >= CHARACTERS_AT_ONCE or len(group) >= DOCUMENTS_AT_ONCE:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _encode(tokenizer: Tokenizer, texts: list[str]) -> list[Any]:
    """Encode in parallel; without offsets, which nobody reads here."""
    encoded: list[Any] = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return encoded


# -------------------------------------------------------------------------------------- the cache


def _build_once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a directory unless it exists; an interrupted or failed build leaves nothing under its name."""
    if folder.is_dir():
        return
    _remove_abandoned(folder.parent)
    unfinished = folder.with_name(f".{folder.name}.{socket.gethostname()}.{os.getpid()}.unfinished")
    unfinished.mkdir(parents=True, mode=0o700)
    try:
        fill(unfinished)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process finished the same build first
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    """Remove what killed builds left. Of this machine only: the processes of another cannot be seen."""
    for leftover in parent.glob(f".*.{glob.escape(socket.gethostname())}.*.unfinished"):
        process = int(leftover.name.split(".")[-2])
        # containers hand out the same few process ids: under our own, an earlier process left it
        if process == os.getpid() or not _is_alive(process):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _open(
    folder: Path, tokenizer_folder: Path, tokenizer: Tokenizer, config: BlocksConfig, tell: Tell
) -> Corpus:
    manifest = _manifest(folder)
    blocks = {}
    for split in ("train", "held_out"):
        file = folder / f"{split}.bin"
        expected = manifest[split]["tokens"] * 2
        if not file.is_file() or file.stat().st_size != expected:
            raise UserError(
                f"{file} is missing or cut (expected {expected} bytes); delete {folder} to build it anew"
            )
        blocks[split] = Blocks(file, config.sequence_length)
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
        vocabulary(tokenizer),
        manifest,
    )


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is missing or damaged; delete {folder} to build it anew") from error
    return manifest


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
