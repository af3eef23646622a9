"""Bytes that the disk flipped, cut or lost are found before anything is made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_cluster import InTurn
from test_corpus import FILES, built, bytes_of, cut, failure, flip, sentences, settings, write

from bertinchamps.data import blocks as blocks_module
from bertinchamps.data import checksums
from bertinchamps.data import cluster as cluster_module
from bertinchamps.data.blocks import Blocks, TokenWriter, open_blocks
from bertinchamps.data.checksums import PIECE, Sums, sums_of
from bertinchamps.data.cluster import prepare_on_cluster
from bertinchamps.data.corpus import Corpus, check_all
from bertinchamps.data.loader import stream
from bertinchamps.data.online import open_online
from bertinchamps.data.prepared import export_corpus
from bertinchamps.data.shards.joining import Join
from bertinchamps.durable import read_sealed, write_sealed
from bertinchamps.schemas import PrepareConfig
from bertinchamps.training.clock import Spent


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def config(tmp_path: Path) -> PrepareConfig:
    return settings(write(tmp_path / "notes.jsonl", sentences(3000)))


def places(file: Path) -> list[int]:
    """Places in a file, from its first byte to its last."""
    return np.linspace(0, file.stat().st_size - 1, 9).astype(int).tolist()


# ------------------------------------------------------------------------------------ what was built


@pytest.mark.parametrize(
    "name",
    [
        "train.bin",
        "held_out.bin",
        "manifest.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "checksums.json",
    ],
)
def test_no_flipped_byte_of_a_prepared_corpus_is_used(config: PrepareConfig, name: str) -> None:
    corpus = built(config)
    (file,) = (path for folder in (corpus.folder, corpus.tokenizer_folder) for path in folder.glob(name))
    whole = file.read_bytes()
    for place in places(file):
        flip(file, place)
        message = failure(lambda: built(config))
        assert message.startswith(f"{corpus.tokenizer_folder if name == 'checksums.json' else file}")
        assert message.endswith(f"; delete {file.parent} to build it anew")
        file.write_bytes(whole)
    assert built(config).fingerprint == corpus.fingerprint


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["train.sums", "held_out.sums"])
def test_checksums_that_were_lost_are_made_anew(
    config: PrepareConfig, name: str, harm: Callable[[Path], object]
) -> None:
    corpus = built(config)
    file = corpus.folder / name
    whole = file.read_bytes()
    harm(file)
    again = built(config)
    assert bytes_of(again) == bytes_of(corpus)
    assert file.read_bytes() == whole
    flip(corpus.folder / name.replace("sums", "bin"))
    file.unlink()
    assert "not what was written; delete" in failure(lambda: built(config))


def test_of_a_large_file_nothing_is_read_when_it_is_opened_and_no_flipped_byte_later(
    config: PrepareConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, checked = built(config), list[int]()
    crc32 = checksums.zlib.crc32
    monkeypatch.setattr(blocks_module, "CHECKED_AT_ONCE", 0)
    monkeypatch.setattr(checksums.zlib, "crc32", lambda *a: (checked.append(1), crc32(*a))[1])
    file = corpus.folder / "train.bin"
    flip(file, 2 * PIECE + 5)
    again = built(config)
    assert not checked
    width = 2 * again.train.sequence_length
    harmed = np.arange(2 * PIECE // width, 3 * PIECE // width)  # blocks of the piece
    others = np.setdiff1d(np.arange(len(again.train)), np.append(harmed, harmed[-1] + 1))
    assert isinstance(again.train, Blocks)
    for _ in range(2):
        assert np.array_equal(again.train.read(others), corpus_blocks(file, 16)[others])
    assert len(checked) < 2 + file.stat().st_size // PIECE  # once each
    for block in harmed[:3]:
        message = failure(lambda block=block: again.train.read(np.array([0, block])))
        assert message.startswith(
            f"{file}: bytes {2 * PIECE:,} to {3 * PIECE - 1:,} are not those that were written"
        )
    failure(lambda: check_all(again))
    message = failure(
        lambda: [next(batches) for batches in [stream(again.train, 0, 0, 8, 1)] for _ in range(2000)]
    )
    assert "are not those that were written" in message


def corpus_blocks(file: Path, length: int) -> np.ndarray:
    flat = np.fromfile(file, dtype=np.uint16)
    return flat[: len(flat) // length * length].reshape(-1, length)


@pytest.mark.parametrize("length", [8, 1000, PIECE, 3 * PIECE])
def test_blocks_of_any_length_are_checked_with_all_pieces_that_they_lie_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(blocks_module, "CHECKED_AT_ONCE", 0)
    file = tmp_path / "train.bin"
    with TokenWriter(file, separator_id=3) as writer:
        for start in range(0, 100_000, 77):
            writer.add([list(range(start % 60_000, start % 60_000 + 76))])
    digest = writer.sums.write(tmp_path / "train.sums")
    for place in [0, 7 * PIECE // 2, file.stat().st_size - 1]:
        flip(file, place)
        blocks = open_blocks(file, length, writer.tokens, digest)
        block = np.array([place // (2 * length)])
        if block[0] < len(blocks):
            assert "are not those" in failure(lambda blocks=blocks, block=block: blocks.read(block))
        flip(file, place)
        assert len(open_blocks(file, length, writer.tokens, digest).read(block[block < len(blocks)])) < 2


def test_verifying_reads_everything(
    config: PrepareConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bertinchamps.prepare import prepare
    from bertinchamps.schemas import PrepareCommandConfig

    command = PrepareCommandConfig(**vars(config), verify=True)
    prepare(command)
    assert "verified  every byte of the blocks is the one that was written" in capsys.readouterr().err
    monkeypatch.setattr(blocks_module, "CHECKED_AT_ONCE", 0)
    flip(built(config).folder / "train.bin", -1)
    assert "are not those that were written" in failure(lambda: prepare(command))


def test_held_out_blocks_of_a_stream_are_checked(config: PrepareConfig) -> None:
    config.data["online"] = True
    corpus = open_online(config, lambda _: None)
    flip(corpus.folder / "held_out.bin")
    assert "held_out.bin: bytes 0 to" in failure(lambda: open_online(config, lambda _: None))


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("shares/0/train.bin", "join"),
        ("shares/1/manifest.json", "join"),
        ("texts-0/1", "tokenise"),
        ("texts-0/1.json", "join"),
        ("looks-0/0", "decide-0"),
    ],
)
def test_what_tasks_hand_on_is_checked(
    config: PrepareConfig, monkeypatch: pytest.MonkeyPatch, name: str, before: str
) -> None:
    config.cleaning = [{"name": "exact_duplicates"}]
    another = write(Path(config.data["files"][0]).with_name("more.jsonl"), sentences(3000, seed=1))
    config.data["files"].append(str(another))
    monkeypatch.setattr(cluster_module.executors, "build", lambda name, **arguments: InTurn(2))
    submit = InTurn.submit

    def harming(self: InTurn, stage: str, task: Join, shards: int, logs: Path) -> str:
        file = task.work.folder / name
        if file.is_file() and stage == before:
            flip(file)
        return submit(self, stage, task, shards, logs)

    monkeypatch.setattr(InTurn, "submit", harming)
    message = failure(lambda: prepare_on_cluster(config, {"name": "in_turn"}, lambda _: None))
    assert f"{name} is damaged; delete " in message


def test_no_flipped_byte_is_exported_or_used_where_it_was_unpacked(
    config: PrepareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "CHECKED_AT_ONCE", 0)
    corpus = built(config)
    file = corpus.folder / "train.bin"
    flip(file)
    message = failure(lambda: export_corpus(built(config), config, tmp_path / "export", lambda _: None))
    assert message.startswith(f"{file}: bytes ")
    assert not (tmp_path / "export").exists()
    flip(file)
    export_corpus(built(config), config, tmp_path / "export", lambda _: None)
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "elsewhere"))
    opening = PrepareConfig(
        data={"name": "prepared", "folder": str(tmp_path / "export")}, blocks=config.blocks
    )
    unpacked = built(opening)
    assert bytes_of(unpacked) == bytes_of(corpus)
    flip(unpacked.folder / "train.bin")
    assert "are not those that were written" in failure(lambda: check_all(built(opening)))


def test_a_model_gets_the_tokenizer_as_it_was_when_the_run_began(
    config: PrepareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertinchamps.objectives import Given, objectives

    corpus = built(config)
    folder = corpus.tokenizer_folder
    whole = {name: (folder / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")}
    model: Any = SimpleNamespace(save_pretrained=lambda target: target.mkdir(), modules=list)
    objective = objectives.build("mlm", given=Given(corpus, 0, 1, torch.device("cpu")))
    monkeypatch.setattr(type(objective), "load_model", lambda self, folder: model)
    objective.build_model(tmp_path)
    flip(folder / "tokenizer_config.json")
    (folder / "tokenizer.json").unlink()
    objective.save(model, tmp_path / "model", Spent)
    assert {name: (tmp_path / "model" / name).read_bytes() for name in whole} == whole


# -------------------------------------------------------------------------------------- the checksums


def test_checksums_do_not_depend_on_how_a_file_was_written(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(5 * PIECE + 17)
    (tmp_path / "a.bin").write_bytes(content)
    whole = sums_of(tmp_path / "a.bin")
    assert len(whole.values()) == 6
    for step in (1000, PIECE, 3 * PIECE + 1):
        sums = Sums()
        for start in range(0, len(content), step):
            sums.add(content[start : start + step])
        assert sums.digest() == whole.digest()
    part = sums_of(tmp_path / "a.bin", 2 * PIECE + 9)
    going_on = Sums(part.values().tolist(), part.size)
    going_on.add(content[part.size :])
    assert going_on.digest() == whole.digest()


def test_a_sealed_file_tells_any_change(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_sealed(file, {"é": [1, {"b": None}], "a": 0.1})
    assert {**read_sealed(file), "digest": ""} == {"é": [1, {"b": None}], "a": 0.1, "digest": ""}
    write_sealed(file, read_sealed(file))
    for place in range(file.stat().st_size):
        whole = file.read_bytes()
        flip(file, place)
        with pytest.raises(ValueError):
            read_sealed(file)
        file.write_bytes(whole)
    file.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_sealed(file)


def test_a_corpus_holds_nothing_but_its_files(config: PrepareConfig) -> None:
    corpus: Corpus = built(config)
    assert sorted(path.name for path in corpus.folder.iterdir()) == FILES
