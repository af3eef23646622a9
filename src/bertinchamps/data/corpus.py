"""A corpus that was built: its tokenizer and its blocks on disk, opened and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertinchamps.console import Tell
from bertinchamps.data.blocks import Blocks, TokenBlocks, dtype_in, open_blocks
from bertinchamps.data.building import MANIFEST
from bertinchamps.data.checksums import damaged
from bertinchamps.data.progress import SPLITS
from bertinchamps.data.tokenizer import Vocabulary, open_tokenizer, vocabulary
from bertinchamps.durable import read_sealed
from bertinchamps.errors import UserError
from bertinchamps.schemas import BlocksConfig


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
        row_lengths: of the rows into which blocks to train on are cut, one for each stage of progress; none: whole.
        documents_apart: True: the documents of a row do not see each other.
        curriculum: parts of the blocks to train on that are read one after another as progress goes; 1: all at once.
        also: samples of other documents to score, by title; there is nothing to train on in them.
    """

    folder: Path
    tokenizer_folder: Path
    fingerprint: str
    train: TokenBlocks
    held_out: Blocks
    vocabulary: Vocabulary
    manifest: dict[str, Any]
    row_lengths: tuple[int, ...] = ()
    documents_apart: bool = False
    curriculum: int = 1
    also: Mapping[str, Corpus] = field(default_factory=dict)

    @property
    def ends_of_documents(self) -> int | None:
        """The separator that ends each document of a row, where documents are kept apart; None: a row is one."""
        return self.vocabulary.separator_id if self.documents_apart else None

    @property
    def tokens_per_character(self) -> float | None:
        """Tokens of a character of held-out text, separators left out; None: an earlier version counted no characters.

        Characters are those of the documents as they were tokenised, after cleaning.
        """
        characters = self.manifest.get("held_out_characters")
        if not characters:
            return None
        counts = self.manifest["held_out"]
        return float((counts["tokens"] - counts["documents"]) / characters)

    def lines(self) -> Iterator[str]:
        """What is in it, for people: documents, tokens, parts of a mix, what cleaning did, what was dropped."""
        for split in SPLITS:
            counts = self.manifest[split]
            yield f"{split:<9} {counts['documents']:>12,} documents {counts['tokens']:>15,} tokens"
        for part in self.manifest.get("mix", ()):
            yield (
                f"mix       {part['share']:>12.1%} of the characters: {part['source']}, {part['documents']:,} documents"
                f" in {part['passes']:g} passes"
            )
        for count in self.manifest["cleaning"]:
            yield (
                f"{count['step']:<16} {count['documents_in']:,} documents → {count['documents_out']:,}, "
                f"{count['characters_in']:,} characters → {count['characters_out']:,}, {count['mended']:,} documents "
                "mended"
            )
        for step in self.manifest.get("overlap", ()):
            for found in step["sets"]:
                yield (
                    f"overlap   {found['lines_found']:>12,} of {found['lines']:,} lines of {found['name']} found "
                    f"({found['lines_whole']:,} whole, {found['ngrams_found']:,} of {found['ngrams']:,} n-grams) in "
                    f"{found['documents']:,} documents; {found['lines_left']:,} left after {step['action']}"
                )
        for reason, number in self.manifest["dropped"].items():
            yield f"dropped   {number:>12,} documents: {reason}"
        yield f"tokenizer {self.tokenizer_folder}"


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
    if len(blocks["train"]) < config.curriculum:
        raise UserError(
            f"blocks.curriculum={config.curriculum}: there are {len(blocks['train'])} blocks to train on; lower it"
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
        *ways_of_reading(config),
    )


def ways_of_reading(config: BlocksConfig) -> tuple[tuple[int, ...], bool, int]:
    """How blocks are read: the lengths of their rows, whether documents are apart, and in how many parts."""
    return tuple(config.lengths), config.documents == "apart", config.curriculum


def blocks_of(folder: Path, split: str, manifest: dict[str, Any], config: BlocksConfig) -> Blocks:
    """The blocks of a split.

    Raises:
        UserError: they are missing, or not as they were written.
    """
    tokens, digest = manifest[split]["tokens"], manifest["checksums"][split]
    return open_blocks(folder / f"{split}.bin", config.sequence_length, tokens, digest, dtype_in(manifest))


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
    return read_whole(folder / MANIFEST)


def read_whole(file: Path) -> dict[str, Any]:
    """The JSON of a sealed file of the cache.

    Raises:
        UserError: the file is missing, cannot be read, or is not as it was written.
    """
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
