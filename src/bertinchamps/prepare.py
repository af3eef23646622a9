"""python -m bertinchamps.prepare: documents → tokenizer → packed blocks, ahead of time."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if (
    __name__ == "__main__"
):  # what follows takes seconds to import, and waits until the command line has proved right
    command_line.run("prepare")
    sys.exit()

from pathlib import Path

from bertinchamps.console import tell
from bertinchamps.data.cluster import prepare_on_cluster
from bertinchamps.data.corpus import check_all
from bertinchamps.data.planning import checked_source
from bertinchamps.data.preparation import prepare as build
from bertinchamps.data.prepared import export_corpus
from bertinchamps.data.statistics import SAMPLE_CHARACTERS, report
from bertinchamps.schemas import PrepareCommandConfig


def prepare(config: PrepareCommandConfig) -> None:
    """Build the tokenizer and blocks of one configuration, and report what is in them."""
    corpus = prepare_on_cluster(config, config.cluster, tell) if config.cluster else build(config, tell)
    if corpus is None:  # the tasks of a cluster go on without this process
        return
    for line in corpus.lines():
        tell(line)
    if config.verify:
        check_all(corpus)
        tell("verified  every byte of the blocks is the one that was written")
    if config.stats is not None:
        _, source = checked_source(config, lambda message: None)  # told when the blocks were built
        sample = source.sample(SAMPLE_CHARACTERS)
        report(corpus, sample, Path(config.stats).expanduser(), tell)
    if config.export is not None:
        export_corpus(corpus, config, Path(config.export).expanduser(), tell)
