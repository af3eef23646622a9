"""Files that are written bit by bit: named unfinished until all of them is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bertinchamps.data.building import build_once
from bertinchamps.durable import (
    is_being_written,
    progressive,
    read_sealed,
    unfinished,
    write_file,
    write_sealed,
)
from bertinchamps.training.checkpoint import write_directory


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.jsonl"
    with progressive(path, folder=False) as place:
        place.write_text("a line\n", encoding="utf-8")
        assert not path.exists()
        assert place == unfinished(path) == tmp_path / "new" / "out.jsonl.unfinished"
    assert path.read_text(encoding="utf-8") == "a line\n"
    assert [file.name for file in path.parent.iterdir()] == ["out.jsonl"]


def test_a_folder_gets_its_name_when_it_is_whole_also_that_of_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with progressive(tmp_path / "out", folder=True) as place:
        (place / "a.ann").write_text("", encoding="utf-8")
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")] == ["out", "out/a.ann"]


class Disk:
    """Which files and folders were brought onto the disk before a name was given, and which folders since then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flushed: set[int] = set()
        self.before_the_name: set[int] = set()
        fsync, moves = os.fsync, {name: getattr(Path, name) for name in ("replace", "rename")}

        def noted(descriptor: int) -> None:
            self.flushed.add(os.fstat(descriptor).st_ino)
            fsync(descriptor)

        def moving(name: str) -> Callable[[Path, Path], Path]:
            def moved(path: Path, target: Path) -> Path:
                self.before_the_name |= self.flushed
                self.flushed.clear()
                return moves[name](path, target)

            return moved

        monkeypatch.setattr(os, "fsync", noted)
        for name in moves:
            monkeypatch.setattr(Path, name, moving(name))


def test_a_power_cut_leaves_nothing_empty_under_a_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(folder: Path) -> None:
        (folder / "resume").mkdir(parents=True)
        (folder / "resume" / "state.json").write_text("{}", encoding="utf-8")
        (folder / "a.txt").write_text("Le patient tousse.", encoding="utf-8")

    def progressively(folder: Path) -> None:
        with progressive(folder, folder=True) as place:
            fill(place)

    ways = {
        "file": lambda path: write_file(path, "text"),
        "output": progressively,
        "checkpoint": lambda path: write_directory(path, fill),
        "corpus": lambda path: build_once(path, fill, print),
    }
    for name, write in ways.items():
        (tmp_path / name).mkdir()
        with monkeypatch.context() as patch:
            disk = Disk(patch)
            write(tmp_path / name / "it")
        inside = {path.stat().st_ino for path in (tmp_path / name / "it").rglob("*")}
        assert inside | {(tmp_path / name / "it").stat().st_ino} <= disk.before_the_name, name
        assert (tmp_path / name).stat().st_ino in disk.flushed, name


def test_what_is_sealed_is_read_whatever_its_keys_are(tmp_path: Path) -> None:
    file = tmp_path / "sealed.json"
    write_sealed(file, {"of": {9: [1], 10: [2]}})
    assert read_sealed(file)["of"] == {"9": [1], "10": [2]}
    file.write_text(file.read_text().replace("10", "11"))
    with pytest.raises(ValueError, match="not as it was written"):
        read_sealed(file)


@pytest.mark.parametrize("folder", [False, True])
def test_what_was_written_until_an_interruption_stays_and_nothing_empty_does(
    tmp_path: Path, folder: bool
) -> None:
    def interrupted(path: Path, something: bool) -> None:
        with progressive(path, folder) as place:
            if something:
                (place / "a.ann" if folder else place).write_text("begun", encoding="utf-8")
            raise KeyboardInterrupt

    for something in (False, True):
        with pytest.raises(KeyboardInterrupt):
            interrupted(tmp_path / "out", something)
        assert [file.name for file in tmp_path.iterdir()] == ["out.unfinished"] * something
    with pytest.raises(FileExistsError):  # somebody may want it, or somebody is writing it
        interrupted(tmp_path / "out", True)


def test_what_appeared_in_the_meantime_is_not_replaced(tmp_path: Path) -> None:
    def overtaken(path: Path) -> None:
        with progressive(path, folder=False) as place:
            place.write_text("ours", encoding="utf-8")
            path.write_text("theirs", encoding="utf-8")

    with pytest.raises(FileExistsError, match="appeared in the meantime"):
        overtaken(tmp_path / "out")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "theirs"
    assert unfinished(tmp_path / "out").read_text(encoding="utf-8") == "ours"


@pytest.mark.parametrize("folder", [False, True])
def test_what_a_killed_process_left_is_replaced_or_kept_and_never_while_it_is_written(
    tmp_path: Path, folder: bool
) -> None:
    left = unfinished(tmp_path / "out")
    for leftover, kept in (("replace", False), ("keep", True)):
        if folder:
            left.mkdir()
        (left / "a.ann" if folder else left).write_text("begun", encoding="utf-8")
        with progressive(tmp_path / "out", folder, leftover) as place:
            begun = (place / "a.ann").exists() if folder else place.read_text(encoding="utf-8") == "begun"
            assert begun == kept
            assert is_being_written(place)
            with pytest.raises(FileExistsError, match="another process is writing it"):
                progressive(tmp_path / "out", folder, leftover).__enter__()
        assert not is_being_written(left)
        shutil.rmtree(tmp_path / "out") if folder else (tmp_path / "out").unlink()
