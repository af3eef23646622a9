"""`evaluation.also`: held-out samples of other documents, tokenised once, which show what a model gains or forgets.

    CACHE/samples/FINGERPRINT/   held_out.bin, held_out.sums, manifest.json

A sample has the documents of its source that training would hold out, so it is unseen where the source is a part of the
training data as well.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from bertinchamps.console import Tell
from bertinchamps.data.building import MANIFEST, build_once
from bertinchamps.data.corpus import Corpus, blocks_of, read_manifest
from bertinchamps.data.packing import Packer, write_held_out
from bertinchamps.data.planning import (
    FORMAT_VERSION,
    cache_dir,
    checked_source,
    digest_of_tokenizer,
    processes,
)
from bertinchamps.data.sources import sources
from bertinchamps.data.tokenizer import open_tokenizer, shaping_facts, vocabulary
from bertinchamps.durable import write_sealed
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical, digest
from bertinchamps.schemas import Node, PrepareConfig, PretrainConfig, named

FOLDER = "samples"
CHARACTERS = 100_000_000  # of a source that are read at most
TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def sample_problems(also: list[Node]) -> list[str]:
    """Mistakes in `evaluation.also`, in the user's key names."""
    problems = []
    for place, node in enumerate(also):
        where = f"evaluation.also[{place}]"
        title, share = _title(node), node.get("share", 1)
        if not TITLE.fullmatch(title):
            problems.append(f"{where}.title={title}: letters, digits, - and _ alone")
        if title in map(_title, also[:place]):
            problems.append(f"{where}.title={title}: there is one of that title; give each its own title")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            problems.append(f"{where}.share={share}: of the documents, above 0 and up to 1")
        problems += [f"{where}: {problem}" for problem in sources.problems(*named(_of_source(node)))]
    return problems


def with_samples(corpus: Corpus, config: PretrainConfig, tell: Tell) -> Corpus:
    """The corpus with the samples of `evaluation.also`, built or found built.

    Args:
        corpus: that is trained on.
        config: the settings.
        tell: shown progress, a line at a time.

    Raises:
        UserError: documents cannot be read, or there are too few of them.
    """
    if not config.evaluation.also:
        return corpus
    found = {_title(node): _sample(corpus, config, node, tell) for node in config.evaluation.also}
    return replace(corpus, also=found)


def _title(node: Node) -> str:
    """What a sample is called: its `title`, or the name of its source."""
    return str(node.get("title", node.get("name")))


def _of_source(node: Node) -> Node:
    return {key: value for key, value in node.items() if key not in ("title", "share")}


def _sample(corpus: Corpus, config: PretrainConfig, node: Node, tell: Tell) -> Corpus:
    """A corpus with nothing to train on: both of its splits are the sample."""
    where = f"evaluation.also, {_title(node)}"
    given = PrepareConfig(data=_of_source(node), blocks=config.blocks)
    try:
        _, source = checked_source(given, tell, quick=True)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    share = float(node.get("share", config.blocks.held_out_share))
    most = config.evaluation.blocks * config.blocks.sequence_length
    tokenizer = open_tokenizer(corpus.tokenizer_folder)
    shaped_by = {
        "version": FORMAT_VERSION,
        "source": source.fingerprint(quick=True),
        "tokenizer": digest_of_tokenizer(corpus.tokenizer_folder),
        **shaping_facts(corpus.tokenizer_folder),
        "held_out_share": share,
        "tokens": most,
    }
    folder = cache_dir(config.blocks) / FOLDER / digest(canonical(shaped_by))

    def fill(unfinished: Path) -> None:
        tell(f"{where}: looking for documents")
        blocks = replace(config.blocks, held_out_share=share)
        packer = Packer(source, PrepareConfig(blocks=blocks), tokenizer, processes(blocks))
        facts = write_held_out(packer, vocabulary(tokenizer), unfinished, most, CHARACTERS)
        write_sealed(unfinished / MANIFEST, {**facts, "shaped_by": shaped_by})

    build_once(folder, fill, tell)
    manifest = read_manifest(folder)
    held_out = blocks_of(folder, "held_out", manifest, config.blocks)
    counts = manifest["held_out"]
    if not len(held_out):
        raise UserError(
            f"{where}: {counts['documents']} documents and {counts['tokens']} tokens are held out of it, less than one "
            f"block of {config.blocks.sequence_length}: give more text, or share: 1 if none of it is trained on"
        )
    tell(f"{where}: {len(held_out):,} blocks of {counts['documents']:,} documents ({folder})")
    return replace(
        corpus, folder=folder, fingerprint=folder.name, train=held_out, held_out=held_out, manifest=manifest
    )
