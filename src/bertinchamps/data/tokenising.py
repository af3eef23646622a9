"""The long pass over a corpus: documents → cleaning → the split → tokens in files, in bounded memory, interruptible.

FOLDER/train.bin held_out.bin     tokens, of the width that the vocabulary needs (`blocks.py`)
FOLDER/train.sums held_out.sums   checksums of them
FOLDER/manifest.json              what is in them, and why the rest is not
FOLDER/progress.json seen-N/      while they are written: how far (`progress.py`)
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tokenizers import Tokenizer

from bertinchamps.console import Tell
from bertinchamps.contract import Document, Reporting, Source
from bertinchamps.data.blocks import TokenWriter, dtype_facts, dtype_for
from bertinchamps.data.building import MANIFEST, PROGRESS
from bertinchamps.data.checksums import Sums
from bertinchamps.data.cleaning.cleaner import Cleaner, groups
from bertinchamps.data.cleaning.counts import Count, dropped
from bertinchamps.data.cleaning.overlap import overlap_facts
from bertinchamps.data.held_out import held_out_rule
from bertinchamps.data.progress import SPLITS, Damaged, Progress, forget_progress, read_progress
from bertinchamps.data.tokenizer import roles_of, vocabulary
from bertinchamps.durable import write_sealed
from bertinchamps.schemas import PrepareConfig

SECONDS_BETWEEN_NOTES = 10
SECONDS_BETWEEN_COMMITS = 30
SHARE_OF_TIME_FOR_COMMITS = 0.05  # where saving what the cleaning has seen takes long
Item = TypeVar("Item")


class Pass:
    """Writes the files of a corpus into a folder, or resumes a pass that was interrupted.

    Args:
        folder: to write into; with a progress.json if an earlier pass was interrupted.
        source: gives the documents.
        config: cleaning, share held out, densest document.
        tokenizer: makes tokens of the documents.
        processes: that clean.
        tell: shown progress.
        own_held_out: write the user's own held-out documents, too; of several shards, only the last one has them.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        config: PrepareConfig,
        tokenizer: Tokenizer,
        processes: int,
        tell: Tell,
        own_held_out: bool = True,
    ) -> None:
        self._writes_own = own_held_out
        self._folder, self._source, self._tokenizer, self._tell = folder, source, tokenizer, tell
        self._known = vocabulary(tokenizer)
        self._dtype = dtype_for(self._known.size)
        self._densest = config.blocks.tokens_per_character or math.inf
        self._is_held_out = held_out_rule(source, config.blocks.held_out_share)
        self._own = source.held_out() is not None
        self._nodes, self._cleaner = config.cleaning, Cleaner(config.cleaning, processes)
        self.progress, self._sums = Progress(), {split: Sums() for split in SPLITS}
        if (folder / PROGRESS).exists():
            self._resume()
        self._out_of_training = Counter(self.progress.out_of_training)
        self._seconds_before = self.progress.seconds
        self._began = self._noted = self._committed = time.monotonic()
        self._commit_seconds = 0.0

    def run(self, facts: dict[str, Any]) -> None:
        """Read everything to its end, and write the manifest.

        Args:
            facts: what shaped the corpus, for the manifest.
        """
        known, separator = self._known, self._known.separator_id
        with (
            self._cleaner,
            self._writer("train", separator) as train,
            self._writer("held_out", separator) as held_out,
        ):
            self._writers = {"train": train, "held_out": held_out}
            self._read()
        report = dict(self.progress.report)
        unreadable = Counter(report.pop("dropped", {}))
        manifest = {
            **{
                s: {"documents": self.progress.documents[s], "tokens": self.progress.tokens[s]}
                for s in SPLITS
            },
            "characters": self.progress.characters,
            "held_out_characters": self.progress.held_out_characters,
            "cleaning": [count.facts() for count in self._cleaner.counts],
            "dropped": dict(dropped(self._cleaner.counts) + self._out_of_training + unreadable),
            "out_of_training": dict(+self._out_of_training),
            **overlap_facts(self._nodes, self._cleaner.counts),
            **report,
            **dtype_facts(known.size),
            "checksums": {s: self._sums[s].write(self._folder / f"{s}.sums") for s in SPLITS},
            "seconds": round(self._seconds(), 2),
            "shaped_by": facts,
        }
        write_sealed(self._folder / MANIFEST, manifest)
        forget_progress(self._folder)

    def _resume(self) -> None:
        """Load the progress that an interrupted pass saved; begin anew if the disk did not keep it."""
        try:
            self.progress, self._sums = read_progress(self._folder, self._dtype.itemsize)
        except Damaged as error:
            self._tell(f"blocks: {error}, so a preparation that was interrupted begins anew")
            forget_progress(self._folder)
            return
        self._cleaner.counts = [Count.of(count) for count in self.progress.counts]
        self._cleaner.load(self._folder / self.progress.seen)
        done = sum(self.progress.documents.values())
        self._tell(f"blocks: going on with a preparation that was interrupted ({done:,} documents are done)")

    def _writer(self, split: str, separator: int) -> TokenWriter:
        documents = self.progress.documents[split]
        file = self._folder / f"{split}.bin"
        return TokenWriter(file, separator, documents, self._sums[split], self._dtype)

    def _read(self) -> None:
        """The source's documents; then the user's own held-out ones, which are not cleaned."""
        if not self.progress.read:
            whole = True  # the files hold whole groups and nothing else
            try:
                for group in ahead(groups(self._source.documents(self.progress.place))):
                    whole, place = False, group[-1].place
                    self._write(self._split(self._cleaner.clean(group)))
                    self.progress.place = place
                    self._commit_if_due()
                    whole = True
                self.progress.read = True
                self.progress.report = (
                    dict(self._source.report()) if isinstance(self._source, Reporting) else {}
                )
            finally:
                if whole and self.progress.place is not None and (self._own or not self.progress.read):
                    self._commit()
        own = self._source.held_out() if self._writes_own else None
        for group in groups(own or iter(())):
            self._write([(document, True) for document in group])

    def _split(self, documents: list[Document]) -> list[tuple[Document, bool]]:
        """Each document with whether it is held out; copies of the user's own held-out ones are left out."""
        marked = [(document, self._is_held_out(document)) for document in documents]
        if not self._own:
            return marked
        remaining = [(document, False) for document, out in marked if not out]
        self._out_of_training["copy of a held-out document"] += len(marked) - len(remaining)
        return remaining

    def _write(self, documents: list[tuple[Document, bool]]) -> None:
        """Append the tokens of documents, each marked as held out or not."""
        ids: dict[str, list[list[int]]] = {split: [] for split in SPLITS}
        encoded = encode(self._tokenizer, [document.text for document, _ in documents])
        for (document, out), tokens in zip(documents, encoded, strict=True):
            if not out and len(tokens) > self._densest * len(document.text):
                self._out_of_training["too many tokens a character"] += 1
            else:
                ids["held_out" if out else "train"].append(tokens)
                self.progress.characters += len(document.text)
                if out and self.progress.held_out_characters is not None:
                    self.progress.held_out_characters += len(document.text)
        for split, writer in self._writers.items():
            writer.add(ids[split])
            self.progress.documents[split], self.progress.tokens[split] = writer.documents, writer.tokens
        if time.monotonic() - self._noted > SECONDS_BETWEEN_NOTES:
            self._noted = time.monotonic()
            train = self._writers["train"]
            self._tell(f"blocks: {train.documents:,} documents, {train.tokens:,} tokens")

    def _commit_if_due(self) -> None:
        between = max(SECONDS_BETWEEN_COMMITS, self._commit_seconds / SHARE_OF_TIME_FOR_COMMITS)
        if self.progress.place is not None and time.monotonic() - self._committed >= between:
            self._commit()

    def _commit(self) -> None:
        """Save a state from which the pass can be resumed, whatever happens next."""
        began = time.monotonic()
        for writer in self._writers.values():
            writer.flush_to_disk()
        self.progress.counts = [count.facts() for count in self._cleaner.counts]
        self.progress.out_of_training = dict(self._out_of_training)
        self.progress.seconds = self._seconds()
        self.progress.write(self._folder, self._sums, self._cleaner.save)
        self._committed = time.monotonic()
        self._commit_seconds = self._committed - began

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Ids of each text, on all cores; offsets are not computed.

    A document holds no control token, whatever is written in it: a tokenizer that leaves "[SEP]" in one piece, which
    then is an entry of its vocabulary, gets an unknown token there; one without an unknown token, nothing.
    """
    roles = roles_of(tokenizer)
    controls, unknown = set(roles.controls), [] if roles.unknown is None else [roles.unknown]
    encoded = (encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    return [
        ids
        if controls.isdisjoint(ids)
        else [known for token in ids for known in (unknown if token in controls else [token])]
        for ids in encoded
    ]


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yields the items; a thread reads the next one while the caller works on the last."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item
