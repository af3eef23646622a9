"""Packing while training: the tokens of prepared blocks, windows that can be begun again, no process left behind."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_corpus import SECRET, built, failure, sentences, settings, with_copies, write

from bertinchamps.data import file_hashes, online
from bertinchamps.data.blocks import Tokens
from bertinchamps.data.checks import corpus_problems
from bertinchamps.data.cleaning import cleaner
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.loader import stream
from bertinchamps.data.online import OnlineBlocks, open_online
from bertinchamps.data.packing import Cursor, Packer
from bertinchamps.data.planning import build_source
from bertinchamps.data.tokenizer import open_tokenizer
from bertinchamps.schemas import PrepareConfig
from support import started

CLEANING = [{"name": "unicode"}, {"name": "length", "least": 60}, {"name": "symbols"}]
WINDOW = 320
IN_PARTS = 50_000  # tokens of two bytes: more than a pipe of 64 KiB takes at once


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a cache for each test: the journal of a corpus is in it, whatever test wrote it
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cleaner, "DOCUMENTS_AT_ONCE", 7)
    monkeypatch.setattr(online, "WINDOW", WINDOW)


@pytest.fixture
def notes(tmp_path: Path) -> list[Path]:
    texts = sentences(150)
    return [
        write(
            tmp_path / "a.jsonl",
            [*texts[:70], "court", "12 | 4,5 | 7 || 12 % | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |"],
        ),
        write(tmp_path / "b.jsonl", texts[70:]),
    ]


def configured(notes: list[Path], kind: str, **changes: Any) -> PrepareConfig:
    """The notes as files, as files with held-out ones of the user's own, or as a mix."""
    files = [str(path) for path in notes]
    data: dict[str, Any] = {"files": files}
    if kind == "own":
        data["held_out_files"] = [
            str(write(notes[0].parent / "own.jsonl", [*sentences(9, 3), *sentences(4)]))
        ]
    config = settings(notes[0], data, CLEANING, **changes)
    if kind == "mix":
        parts = [
            {
                "weight": 0.4,
                "name": "files",
                "files": files[:1],
                "cleaning": [{"name": "length", "least": 60}],
            },
            {"weight": 0.6, "name": "files", "files": files[1:]},
        ]
        config.data = {"name": "mix", "sources": parts}
    config.data["online"] = True
    return config


def packer(config: PrepareConfig, corpus: Corpus) -> Packer:
    return Packer(build_source(config.data), config, open_tokenizer(corpus.tokenizer_folder), processes=1)


def windows(config: PrepareConfig, corpus: Corpus, count: int, cursor: Cursor) -> list[tuple[Cursor, Tokens]]:
    return list(itertools.islice(packer(config, corpus).windows(WINDOW, cursor), count))


def opened(config: PrepareConfig) -> Corpus:
    return open_online(config, lambda _: None)


@pytest.mark.parametrize("kind", ["files", "own", "mix"])
def test_windows_hold_what_a_preparation_would_and_then_the_same_again(notes: list[Path], kind: str) -> None:
    config = configured(notes, kind)
    corpus = opened(config)
    config.tokenizer.path = str(corpus.tokenizer_folder)
    prepared = np.fromfile(built(config).folder / "train.bin", dtype=np.uint16)
    count = 2 * len(prepared) // WINDOW
    found = np.concatenate([tokens for _, tokens in windows(config, corpus, count, Cursor())])
    assert len(found) > len(prepared) + WINDOW
    assert np.array_equal(found, np.tile(prepared, 3)[: len(found)])


@pytest.mark.parametrize("kind", ["files", "own", "mix"])
def test_every_window_can_be_begun_again(notes: list[Path], kind: str) -> None:
    config = configured(notes, kind)
    corpus = opened(config)
    all_of_them = windows(config, corpus, 14, Cursor())
    for number, (cursor, _) in enumerate(all_of_them):
        as_json = Cursor(*json.loads(json.dumps(cursor)))
        for again, before in zip(
            windows(config, corpus, 14 - number, as_json), all_of_them[number:], strict=True
        ):
            assert np.array_equal(again[1], before[1])


def seen(corpus: Corpus, position: int, micro_batch: int, count: int, **share: int) -> list[tuple[int, ...]]:
    """The first so many blocks of a stream."""
    batches = stream(corpus.train, 5, position, micro_batch, targets_per_block=1, **share)
    rows = (tuple(row.tolist()) for batch in batches for row in batch.inputs["input_ids"])
    return list(itertools.islice(rows, count))


def test_positions_say_everything(notes: list[Path]) -> None:
    corpus = opened(configured(notes, "files"))
    journal = corpus.folder / f"windows-{WINDOW}.jsonl"
    blocks = seen(corpus, 0, 4, 60)  # windows of 20 blocks
    flat = np.concatenate([w for _, w in windows(configured(notes, "files"), corpus, 3, Cursor())]).reshape(
        -1, 16
    )
    for window in range(3):
        place = slice(20 * window, 20 * window + 20)
        assert Counter(blocks[place]) == Counter(map(tuple, flat[place].tolist()))
        assert blocks[place] != list(map(tuple, flat[place].tolist()))
    assert seen(corpus, 0, 30, 60) == blocks
    assert seen(corpus, 33, 5, 27) == blocks[33:]
    known = journal.read_text(encoding="utf-8")
    journal.write_text(
        known.splitlines()[1] + "\n" + '{"window": 2, "aft', encoding="utf-8"
    )  # cut by a crash
    assert seen(corpus, 45, 5, 15) == blocks[45:]
    journal.unlink()
    assert seen(corpus, 45, 5, 15) == blocks[45:]
    assert set(known.splitlines()[:3]) <= set(journal.read_text(encoding="utf-8").splitlines())


def test_a_damaged_journal_is_not_believed(notes: list[Path]) -> None:
    corpus = opened(configured(notes, "files"))
    journal = corpus.folder / f"windows-{WINDOW}.jsonl"
    blocks = seen(corpus, 0, 4, 60)
    lines = journal.read_bytes().splitlines()
    known = online._begin(journal, 2)
    assert known[0] == 2
    for place, byte in enumerate(lines[2]):
        harmed = lines[2][:place] + bytes([byte ^ 1]) + lines[2][place + 1 :]
        journal.write_bytes(b"\n".join([*lines[:2], harmed, b"5", b"{}", b"\xff", b'"a"']))
        assert online._begin(journal, 2) in (known, online._begin(journal, 1))
    assert seen(corpus, 45, 5, 15) == blocks[45:]


def test_held_out_documents_are_not_in_the_stream(notes: list[Path]) -> None:
    corpus = opened(configured(notes, "files", sequence_length=8))
    assert corpus.manifest["held_out"]["documents"] > 5
    tokenizer = open_tokenizer(corpus.tokenizer_folder)
    counts = corpus.manifest["held_out"]
    ratio = (counts["tokens"] - counts["documents"]) / corpus.manifest["held_out_characters"]
    assert corpus.tokens_per_character == ratio < 1
    held_out = tokenizer.decode(corpus.held_out.read(np.arange(len(corpus.held_out))).flatten().tolist())
    trained = " ".join(
        tokenizer.decode(tokens.tolist())
        for _, tokens in windows(configured(notes, "files"), corpus, 30, Cursor())
    )
    numbers = set(held_out.split(".")) & set(trained.split("."))
    assert not {number for number in numbers if len(number) > 40}


def test_copies_of_held_out_documents_are_not_in_the_stream(tmp_path: Path) -> None:
    data, train, _ = with_copies(tmp_path)
    config = settings(tmp_path, {**data, "online": True}, cleaning=[{"name": "unicode"}])
    corpus = opened(config)
    documents = packer(config, corpus)._pass(None)
    assert len(list(documents)) == len(train)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_other_process_ends_with_the_reader(notes: list[Path]) -> None:
    corpus = opened(configured(notes, "files"))
    assert isinstance(corpus.train, OnlineBlocks)
    windows = online._Windows(corpus.train._work, 0, WINDOW)
    windows.get(0)
    process = windows._process
    assert process.is_alive()
    del windows
    wait_until(lambda: not process.is_alive())


@pytest.mark.parametrize("size", [WINDOW, IN_PARTS])  # into a pipe as a whole, and in parts
def test_a_process_that_was_killed_is_reported(notes: list[Path], size: int) -> None:
    corpus = opened(configured(notes, "files"))
    assert isinstance(corpus.train, OnlineBlocks)
    windows = online._Windows(corpus.train._work, 0, size)
    windows.get(0)
    os.kill(windows._process.pid or 0, signal.SIGTERM)  # often meant for a whole group: the parent decides
    windows.get(1)
    time.sleep(0.5)  # it waits for somebody to take the next one
    os.kill(windows._process.pid or 0, signal.SIGKILL)
    message = failure(lambda: windows.get(10_000))
    assert message.startswith("the process that reads documents for data.online ended (exit code -9)")


def test_a_broken_line_met_while_training_is_named(notes: list[Path]) -> None:
    config = configured(notes, "files", sample_characters=100, held_out_share=0.5)
    corpus = opened(config)
    with notes[1].open("a", encoding="utf-8") as file:
        file.write(f'{{"text": "{SECRET}\n')
    message = failure(lambda: seen(corpus, 0, 4, 10_000))
    assert f"{notes[1]}: line 81: not valid JSON" in message


def test_a_corpus_that_the_cleaning_empties_is_reported(notes: list[Path]) -> None:
    config = configured(notes, "own")
    corpus = opened(config)
    config.cleaning = [{"name": "length", "least": 10_000}]
    assert failure(lambda: windows(config, corpus, 1, Cursor())).startswith("no document to train on")


def test_a_small_corpus_is_held_out_of_as_much_as_a_block_needs(tmp_path: Path) -> None:
    file = write(tmp_path / "few.jsonl", sentences(20))
    corpus = opened(settings(file, {"online": True}, held_out_share=0.0001))
    assert len(corpus.held_out) in (1, 2)
    assert len(seen(corpus, 0, 4, 8)) == 8


def test_too_little_held_out_text_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "HELD_OUT_CHARACTERS", 0)
    file = write(tmp_path / "few.jsonl", sentences(2000))
    config = settings(file, {"online": True}, held_out_share=0.001)
    assert "raise blocks.held_out_share" in failure(lambda: opened(config))


def test_a_changed_file_is_another_stream(notes: list[Path]) -> None:
    first = opened(configured(notes, "files")).fingerprint
    assert opened(configured(notes, "files")).fingerprint == first
    text = notes[0].read_text(encoding="utf-8")
    notes[0].write_text(text.replace("1.", "2.", 1), encoding="utf-8")
    assert opened(configured(notes, "files")).fingerprint != first


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("keeps_time", [True, False])
def test_a_third_of_a_file_that_changed_in_the_middle_is_another_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool, keeps_time: bool
) -> None:
    monkeypatch.setattr(file_hashes, "WHOLE", 1 << 32 if whole else 0)
    file = write(tmp_path / "large.jsonl", [f"{n} {'mot ' * 500}" for n in range(3000)])
    first = opened(settings(file, {"online": True})).fingerprint
    before, content = file.stat(), bytearray(file.read_bytes())
    third = slice(len(content) // 3, 2 * len(content) // 3)
    content[third] = content[third].replace(b"mot", b"cas")
    assert len(content) == before.st_size > 5 << 20
    file.write_bytes(content)
    if keeps_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert opened(settings(file, {"online": True})).fingerprint != first


def test_the_journal_is_its_owners_alone(notes: list[Path]) -> None:
    before = os.umask(0)
    try:
        corpus = opened(configured(notes, "files"))
        online._remember(corpus.folder / "windows-1.jsonl", 0, Cursor())
    finally:
        os.umask(before)
    assert not any(path.stat().st_mode & 0o077 for path in corpus.folder.rglob("*"))


def test_steps_that_compare_documents_are_refused(notes: list[Path]) -> None:
    config = configured(notes, "mix")
    assert corpus_problems(config) == []
    config.data["sources"][0]["cleaning"] = [{"name": "near_duplicates"}]
    (problem,) = corpus_problems(config)
    assert problem.startswith("data.online=true: near_duplicates must have seen all documents before")
    files = configured(notes, "files")
    files.cleaning = [{"name": "exact_duplicates"}, {"name": "repeated_lines"}]
    (problem,) = corpus_problems(files)
    assert "exact_duplicates, repeated_lines" in problem


LEFT_ALONE = f"""
import sys, time
from pathlib import Path
from bertinchamps.data.online import _Windows
import pickle
if __name__ == "__main__":
    windows = _Windows(pickle.loads(Path(sys.argv[1]).read_bytes()), 0, {IN_PARTS})
    windows.get(0)
    print(windows._process.pid, flush=True)
    if sys.argv[2] == "raise":
        raise KeyboardInterrupt
    if sys.argv[2] == "wait":
        time.sleep(100)
"""


@pytest.mark.parametrize("end", ["normal", "raise", "wait"])
def test_no_end_of_the_training_leaves_the_other_process_behind(
    notes: list[Path], tmp_path: Path, end: str
) -> None:
    corpus = opened(configured(notes, "files", workers=2))
    assert isinstance(corpus.train, OnlineBlocks)
    (tmp_path / "work").write_bytes(pickle.dumps(corpus.train._work))
    (tmp_path / "left_alone.py").write_text(LEFT_ALONE)
    said = tmp_path / "said"
    training = started(
        str(tmp_path / "left_alone.py"), str(tmp_path / "work"), end, cwd=tmp_path, stdout=said
    )
    wait_until(lambda: said.exists() and said.read_text().endswith("\n"))
    packing = Path("/proc", said.read_text().strip())
    if end == "wait":
        training.kill()
    training.wait(30)
    wait_until(lambda: not packing.exists())


def test_an_error_of_another_kind_is_told_without_a_text(
    notes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(notes, "files", sample_characters=100, held_out_share=0.5)
    corpus = opened(config)
    notes[0].unlink()
    notes[0].mkdir()
    message = failure(lambda: seen(corpus, 0, 4, 10_000))
    assert str(notes[0]) in message or "OSError" in message
