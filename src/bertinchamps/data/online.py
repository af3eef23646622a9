"""`data.online=true`: documents are cleaned, tokenised and packed beside the training, and blocks are not kept.

    CACHE/online/FINGERPRINT/   held_out.bin, held_out.sums, manifest.json
                                windows-N.jsonl   where in the source each window of N tokens begins, up to the
                                                  last window that was packed

The stream of tokens is cut into windows of WINDOW tokens, and the blocks of each are shuffled. Cursor c of the stream
is block c mod n of window c div n, whatever was read before: a run goes on at a cursor as it does on prepared blocks.
"""

from __future__ import annotations

import contextlib
import copy
import json
import multiprocessing
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bertinchamps.console import Tell
from bertinchamps.contract import Source
from bertinchamps.data.blocks import USUAL, Tokens, dtype_for
from bertinchamps.data.building import MANIFEST, build_once
from bertinchamps.data.cleaning.overlap import overlap_facts
from bertinchamps.data.corpus import Corpus, blocks_of, read_manifest, ways_of_reading
from bertinchamps.data.order import permuted
from bertinchamps.data.packing import Cursor, Packer, write_held_out
from bertinchamps.data.planning import Plan, plan_corpus, processes
from bertinchamps.data.tokenizer import open_tokenizer, vocabulary
from bertinchamps.data.workers import out_of_reach, serve_parent
from bertinchamps.durable import write_sealed
from bertinchamps.errors import UserError
from bertinchamps.schemas import PrepareConfig

WINDOW = 1 << 20  # tokens shuffled together: some five megabytes of French, read in a few seconds
SAMPLE_CHARACTERS = 10_000_000  # for the tokenizer: a first step within a minute, whatever the corpus
HELD_OUT_TOKENS = 1 << 16  # 512 blocks of 128, what an evaluation scores by default
HELD_OUT_CHARACTERS = 100_000_000  # read at most in search of them
ENDLESS = 1 << 62  # blocks of an epoch whose end nobody knows
SECONDS_TO_END = 5


class OnlineBlocks:
    """Blocks that another process packs while they are trained on.

    Args:
        source: of the documents; nothing of it has been read.
        config: what shapes the stream.
        tokenizer_folder: of the tokenizer.
        folder: of the journal.
        dtype: of the tokens.
    """

    def __init__(
        self,
        source: Source,
        config: PrepareConfig,
        tokenizer_folder: Path,
        folder: Path,
        dtype: np.dtype[Any] = USUAL,
    ) -> None:
        self._dtype = dtype
        self.sequence_length = config.blocks.sequence_length
        self.blocks_of_a_window = max(1, WINDOW // self.sequence_length)
        size = self.blocks_of_a_window * self.sequence_length
        self._work = (source, config, tokenizer_folder, folder / f"windows-{size}.jsonl")

    def __len__(self) -> int:
        return ENDLESS

    def reader(self, seed: int, cursor: int) -> Callable[[NDArray[np.int64]], Tokens]:
        """A function from cursors, which never go back beyond a window, to blocks [B, S].

        Args:
            seed: of the order within windows.
            cursor: the first that will be asked for.
        """
        blocks = self.blocks_of_a_window
        windows = _Windows(self._work, cursor // blocks, blocks * self.sequence_length)

        def read(cursors: NDArray[np.int64]) -> Tokens:
            numbers, within = np.divmod(cursors, blocks)
            ids: Tokens = np.empty((len(cursors), self.sequence_length), dtype=self._dtype)
            for number in np.unique(numbers):
                chosen = numbers == number
                window = windows.get(int(number)).reshape(blocks, self.sequence_length)
                ids[chosen] = window[permuted(within[chosen], blocks, seed, int(number))]
            return ids

        return read


class _Windows:
    """Windows in order from a worker process, which packs ahead of the training and ends with this object."""

    def __init__(self, work: tuple[Source, PrepareConfig, Path, Path], first: int, size: int) -> None:
        number, cursor = _begin(work[3], first)
        context = multiprocessing.get_context("spawn")
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_pack, args=(*work, number, cursor, size, sender), name="packing"
        )
        with out_of_reach():
            self._process.start()
        sender.close()  # the worker has the other end, and the pipe ends with the worker
        self._number: int = number - 1
        self._tokens: Tokens = np.empty(0, dtype=USUAL)  # replaced by the first window that is asked for
        # multiprocessing's Finalize runs before multiprocessing waits for its processes at the exit
        Finalize(self, _end, (self._receiver, self._process), exitpriority=10)

    def get(self, number: int) -> Tokens:
        """The window of this number; earlier windows are dropped.

        Raises:
            UserError: documents cannot be read any more, or the worker process has ended.
        """
        while self._number < number:
            self._number, self._tokens = self._next()
        return self._tokens

    def _next(self) -> tuple[int, Tokens]:
        try:
            item = self._receiver.recv()
        except (EOFError, OSError):
            self._process.join(SECONDS_TO_END)
            raise UserError(
                f"the process that reads documents for data.online ended (exit code {self._process.exitcode}); "
                "resume the run to go on"
            ) from None
        if isinstance(item, UserError):
            raise item
        number, tokens = item
        return number, tokens


def _end(receiver: Any, process: Any) -> None:
    receiver.close()  # the worker notices when it sends its next window
    process.join(SECONDS_TO_END)
    if process.is_alive():
        process.kill()


def _pack(
    source: Source,
    config: PrepareConfig,
    tokenizer_folder: Path,
    journal: Path,
    number: int,
    cursor: Cursor,
    size: int,
    sender: Any,
) -> None:
    """The worker process: send (number, tokens) of windows, or why there are no more, until the receiver is closed."""
    serve_parent()
    try:
        try:
            packer = Packer(source, config, open_tokenizer(tokenizer_folder), processes(config.blocks))
            for found, tokens in packer.windows(size, cursor):
                _remember(journal, number, found)
                sender.send((number, tokens))
                number += 1
        except UserError as error:
            sender.send(UserError(str(error)))
        except BrokenPipeError:
            raise
        except Exception as error:
            sender.send(
                UserError(f"the documents of data.online cannot be read any more ({type(error).__name__})")
            )
    except BrokenPipeError:
        return


def _remember(journal: Path, number: int, cursor: Cursor) -> None:
    entry = {"window": number, **cursor._asdict()}
    line = json.dumps({**entry, "crc": _crc(entry)})
    # without the line, a resumed run reads more; written at once, because several processes may append
    with contextlib.suppress(OSError):
        descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")


def _begin(journal: Path, window: int) -> tuple[int, Cursor]:
    """The last window up to this one whose cursor is known: its number and its cursor."""
    best, cursor = 0, Cursor()
    for line in journal.read_bytes().splitlines() if journal.exists() else ():
        try:
            entry = json.loads(line)
            if entry.pop("crc") != _crc(entry):
                continue
        except (ValueError, AttributeError, KeyError, TypeError):  # cut by a crash, or damaged
            continue
        if best <= entry["window"] <= window:
            best, cursor = entry["window"], Cursor(entry["after"], entry["skip"])
    return best, cursor


def _crc(entry: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(entry, sort_keys=True).encode())


def open_online(config: PrepareConfig, tell: Tell) -> Corpus:
    """The corpus as a stream: a tokenizer from a small sample, some held-out documents, and no blocks yet.

    Args:
        config: data, cleaning, tokenizer and blocks.
        tell: shown progress, a line at a time.

    Raises:
        UserError: documents cannot be read, or there are too few held-out ones.
    """
    small = replace(
        config.tokenizer, sample_characters=min(config.tokenizer.sample_characters, SAMPLE_CHARACTERS)
    )
    config = replace(config, tokenizer=small)
    plan = plan_corpus(config, tell, "online", quick=True, online=WINDOW)
    config = plan.config
    tokenizer = open_tokenizer(plan.tokenizer_folder)
    known = vocabulary(tokenizer)
    folder = plan.folder
    build_once(folder, lambda unfinished: _hold_out(plan, config, tokenizer, unfinished, tell), tell)
    manifest = read_manifest(folder)
    held_out = blocks_of(folder, "held_out", manifest, config.blocks)
    if not len(held_out):
        raise UserError(
            f"data.online: the first {HELD_OUT_CHARACTERS:,} characters have no held-out block of "
            f"{config.blocks.sequence_length} tokens; raise blocks.held_out_share, or give data.held_out_files"
        )
    tell(f"online: {len(held_out):,} blocks held out; documents are packed while the model trains ({folder})")
    train = OnlineBlocks(plan.source, config, plan.tokenizer_folder, folder, dtype_for(known.size))
    ways = ways_of_reading(config.blocks)
    return Corpus(folder, plan.tokenizer_folder, folder.name, train, held_out, known, manifest, *ways)


def _hold_out(plan: Plan, config: PrepareConfig, tokenizer: Tokenizer, unfinished: Path, tell: Tell) -> None:
    """Write some held-out documents and a manifest into a folder."""
    tell("online: looking for held-out documents")
    unread = copy.deepcopy(plan.source)  # a source that is being read cannot go to another process
    packer = Packer(unread, config, tokenizer, processes(config.blocks))
    facts = write_held_out(packer, vocabulary(tokenizer), unfinished, HELD_OUT_TOKENS, HELD_OUT_CHARACTERS)
    overlap = overlap_facts(config.cleaning, None)
    write_sealed(unfinished / MANIFEST, {**facts, "shaped_by": plan.facts, **overlap})
