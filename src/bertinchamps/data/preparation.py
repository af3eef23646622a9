"""From a source to a tokenizer and packed blocks on disk, built once for each fingerprint.

    CACHE/tokenizers/FINGERPRINT/   tokenizer.json, tokenizer_config.json, checksums.json
    CACHE/corpora/FINGERPRINT/      train.bin, held_out.bin, their checksums, manifest.json

Each directory is built beside its place and moved there, so that what exists is whole (`building.py`); an interrupted
preparation is gone on with (`tokenising.py`). What is built, and under which name, is planned first (`planning.py`).
"""

from __future__ import annotations

from pathlib import Path

from bertinchamps.console import Tell
from bertinchamps.data.building import build_once
from bertinchamps.data.corpus import Corpus, open_corpus
from bertinchamps.data.planning import cache_dir, plan_corpus, processes
from bertinchamps.data.prepared import is_prepared, read_export
from bertinchamps.data.tokenising import Pass
from bertinchamps.data.tokenizer import open_tokenizer
from bertinchamps.schemas import PrepareConfig


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
