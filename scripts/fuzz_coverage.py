"""Lets libFuzzer choose what `fuzz.py` reads next, by way of atheris: inputs that reached code which none had reached.

Files become one input of libFuzzer and back. It changes them as `fuzz_changes.py` does, or in its own way, which knows
what our code compared an input with.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import atheris
from fuzz_changes import CHANGES, MOST_SIZE, Files, changed

if TYPE_CHECKING:
    from fuzz import Fuzzer

CORPUS = "corpus"
LENGTH = 4  # bytes that say how long a content is


def watched() -> AbstractContextManager[object]:
    """Modules of ours that are imported inside tell libFuzzer which of their code ran, and what they compare."""
    context: AbstractContextManager[object] = atheris.instrument_imports(include=["bertinchamps"])
    return context


def joined(files: Files) -> bytes:
    """Files as one input: of each its name, a zero byte, the length of its content and the content."""
    return b"".join(
        b"".join((name.encode(), b"\0", len(content).to_bytes(LENGTH, "big"), content))
        for name, content in sorted(files.items())
    )


def parted(data: bytes) -> Files:
    """The files of an input; none where it is not one."""
    files: Files = {}
    while data:
        name, _, rest = data.partition(b"\0")
        length = int.from_bytes(rest[:LENGTH], "big")
        if len(rest) < LENGTH + length:
            return {}
        files[name.decode()] = rest[LENGTH : LENGTH + length]
        data = rest[LENGTH + length :]
    return files


def libfuzzers_own(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """A change of libFuzzer's choice."""
    changed_content: bytes = atheris.Mutate(content, len(content) + 64)
    return changed_content


def mutator(inputs: Sequence[Files]) -> Callable[[bytes, int, int], bytes]:
    """What libFuzzer calls to change an input: with it, the bytes it may have, and a seed."""
    changes = (*CHANGES, *[libfuzzers_own] * len(CHANGES))  # each half of the time

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        dice = random.Random(seed)
        new = joined(changed(parted(data) or dice.choice(inputs), dice, inputs, changes))
        return new if len(new) <= most else data

    return mutate


def guide(fuzzer: Fuzzer, seconds: float) -> None:
    """Read what libFuzzer chooses until the time is used up, and end the process.

    libFuzzer never returns. Its corpus, inputs of which each reached new code, is read again at each start.
    """
    corpus, began = fuzzer.folder / CORPUS, time.monotonic()
    corpus.mkdir(exist_ok=True)
    for files in fuzzer.inputs:
        data = joined(files)
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)  # the name that libFuzzer would give it

    def read(data: bytes) -> None:
        if files := parted(data):  # it begins with an empty input
            fuzzer.read(files)
        enough = time.monotonic() - began >= seconds
        if enough or fuzzer.state.executions % 100 == 0:
            fuzzer.save(began)
        if enough:
            os._exit(0)

    # Hangs, signals and memory are fuzz.py's own business; `changed` makes several changes by itself.
    words = f"-max_len={MOST_SIZE} -len_control=0 -mutate_depth=1 -timeout=0 -rss_limit_mb=0 -verbosity=0"
    atheris.Setup(
        [
            "fuzz.py",
            str(corpus),
            *words.split(),
            "-handle_alrm=0",
            f"-seed={1 + fuzzer.seed + fuzzer.state.executions}",
            f"-artifact_prefix={fuzzer.folder}/",
        ],
        read,
        custom_mutator=mutator(fuzzer.inputs),
    )
    atheris.Fuzz()
