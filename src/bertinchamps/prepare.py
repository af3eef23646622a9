"""python -m bertinchamps.prepare: documents → tokenizer → packed blocks, ahead of time."""

from __future__ import annotations

import sys
from typing import Any

from bertinchamps import command_line
from bertinchamps.config import PrepareConfig


def prepare(config: PrepareConfig) -> None:
    """Build the tokenizer and blocks of one configuration, and say what is in them."""
    from bertinchamps.data.corpus import prepare as build

    corpus = build(config, tell)
    manifest = corpus.manifest
    for split in ("train", "held_out"):
        counts = manifest[split]
        tell(f"{split:<9} {counts['documents']:>12,} documents {counts['tokens']:>15,} tokens")
    for part in manifest.get("mix", ()):
        tell(
            f"mix       {part['share']:>12.1%} of the characters: {part['source']}, {part['documents']:,} documents"
            f" in {part['passes']} passes"
        )
    for count in manifest.get("cleaning", ()):  # absent from blocks built by an earlier version
        tell(_cleaned(count))
    for reason, number in manifest["dropped"].items():
        tell(f"dropped   {number:>12,} documents: {reason}")
    tell(f"tokenizer {corpus.tokenizer_folder}")


def _cleaned(count: dict[str, Any]) -> str:
    return (
        f"{count['step']:<16} {count['documents_in']:,} documents → {count['documents_out']:,}, "
        f"{count['characters_in']:,} characters → {count['characters_out']:,}, {count['mended']:,} documents mended"
    )


def problems(config: PrepareConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    from bertinchamps.data.corpus import corpus_problems

    return corpus_problems(config)


def tell(message: str) -> None:
    """Say something about the work to the user; never text of documents."""
    sys.stderr.write(message + "\n")


def main() -> None:
    """Entry point of `python -m bertinchamps.prepare`."""
    command_line.run("prepare", prepare, problems)


if __name__ == "__main__":
    main()
