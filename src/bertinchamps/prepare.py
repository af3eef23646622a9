"""python -m bertinchamps.prepare: documents → tokenizer → packed blocks, ahead of time."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if (
    __name__ == "__main__"
):  # what follows takes seconds to import: that begins when the command line has proved right
    command_line.run("prepare")
    sys.exit()

from pathlib import Path
from typing import Any

from bertinchamps.console import tell
from bertinchamps.data.cluster import prepare_on_cluster
from bertinchamps.data.corpus import Corpus, check_all
from bertinchamps.data.planning import build_source
from bertinchamps.data.preparation import prepare as build
from bertinchamps.data.prepared import export_corpus
from bertinchamps.data.statistics import SAMPLE_CHARACTERS, page, statistics, table
from bertinchamps.durable import write_file
from bertinchamps.errors import UserError
from bertinchamps.schemas import PrepareCommandConfig


def prepare(config: PrepareCommandConfig) -> None:
    """Build the tokenizer and blocks of one configuration, and say what is in them."""
    if config.cluster:
        in_tasks = prepare_on_cluster(config, config.cluster, tell)
        if in_tasks is None:
            return
        corpus = in_tasks
    else:
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
    for count in manifest["cleaning"]:
        tell(_cleaned(count))
    for reason, number in manifest["dropped"].items():
        tell(f"dropped   {number:>12,} documents: {reason}")
    tell(f"tokenizer {corpus.tokenizer_folder}")
    if config.verify:
        check_all(corpus)
        tell("verified  every byte of the blocks is the one that was written")
    if config.stats is not None:
        _statistics(config, corpus, Path(config.stats).expanduser())
    if config.export is not None:
        export_corpus(corpus, config, Path(config.export).expanduser(), tell)


def _statistics(config: PrepareCommandConfig, corpus: Corpus, file: Path) -> None:
    """Print a table, and write a page."""
    sample = build_source(config.data).sample(SAMPLE_CHARACTERS)
    splits, characters = statistics(corpus, sample)
    tell("")
    for what, *figures in [("", "train", "held-out"), *table(splits, characters)]:
        tell(f"{what:<50}" + "".join(f"{figure:>24}" for figure in figures))
    title = f"The corpus {corpus.fingerprint}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, page(splits, characters, corpus.manifest["cleaning"], title))
    except OSError as error:
        raise UserError(f"stats={file}: cannot be written ({error.strerror}); name another place") from error
    tell(f"statistics {file}")


def _cleaned(count: dict[str, Any]) -> str:
    return (
        f"{count['step']:<16} {count['documents_in']:,} documents → {count['documents_out']:,}, "
        f"{count['characters_in']:,} characters → {count['characters_out']:,}, {count['mended']:,} documents mended"
    )
