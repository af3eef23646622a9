"""python -m bertinchamps.prepare: documents → tokenizer → packed blocks, ahead of time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertinchamps import command_line
from bertinchamps.console import tell
from bertinchamps.durable import why_not_writable, write_file
from bertinchamps.errors import UserError
from bertinchamps.schemas import PrepareCommandConfig, PrepareConfig

if TYPE_CHECKING:
    from bertinchamps.data.corpus import Corpus


def prepare(config: PrepareCommandConfig) -> None:
    """Build the tokenizer and blocks of one configuration, and say what is in them."""
    from bertinchamps.data.corpus import check_all
    from bertinchamps.data.preparation import prepare as build

    if config.cluster:
        from bertinchamps.data.cluster import prepare_on_cluster

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
        from bertinchamps.data.prepared import export_corpus

        export_corpus(corpus, config, Path(config.export).expanduser(), tell)


def _statistics(config: PrepareCommandConfig, corpus: Corpus, file: Path) -> None:
    """Print a table, and write a page."""
    from bertinchamps.data.planning import build_source
    from bertinchamps.data.statistics import SAMPLE_CHARACTERS, page, statistics, table

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


def command_problems(config: PrepareCommandConfig) -> list[str]:
    """Every mistake in a configuration of this command, in the user's key names."""
    from bertinchamps.data.prepared import is_prepared

    found = problems(config)
    if config.data.get("online"):
        found.append("data.online=true: blocks that are prepared are not packed while training; leave it out")
    if is_prepared(config.data):
        found += _problems_of_prepared(config)
    elif config.cluster:
        from bertinchamps.data.cluster import cluster_problems

        found += cluster_problems(config.cluster, config.data)
    for key, value in (("stats", config.stats), ("export", config.export)):
        if value is not None:
            found += _place_problems(key, value)
    return found


def _problems_of_prepared(config: PrepareCommandConfig) -> list[str]:
    """What needs the documents, or was done already, where data=prepared."""
    found = []
    if config.cluster:
        found.append("+cluster: a prepared corpus leaves the tasks of a cluster nothing to do; leave it out")
    if config.stats is not None:
        found.append(
            f"stats={config.stats}: reads documents, which a prepared corpus does not bring; give it beside export="
        )
    if config.export is not None:
        found.append(f"export={config.export}: data.folder is an export already; copy that folder")
    return found


def _place_problems(key: str, value: str) -> list[str]:
    """Why nothing new can be written where a setting says."""
    place = Path(value).expanduser()
    if os.path.lexists(place):
        return [f"{key}={value}: is there already, and was not touched; choose another name"]
    reason = why_not_writable(place)
    return (
        [] if reason is None else [f"{key}={value}: cannot be written there ({reason}); name another place"]
    )


def _cleaned(count: dict[str, Any]) -> str:
    return (
        f"{count['step']:<16} {count['documents_in']:,} documents → {count['documents_out']:,}, "
        f"{count['characters_in']:,} characters → {count['characters_out']:,}, {count['mended']:,} documents mended"
    )


def problems(config: PrepareConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    from bertinchamps.data.checks import corpus_problems

    return corpus_problems(config)


def main() -> None:
    """Entry point of `python -m bertinchamps.prepare`."""
    command_line.run("prepare", prepare, command_problems)


if __name__ == "__main__":
    main()
