"""Files that are written bit by bit: named unfinished until all of them is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bertinchamps.durable import is_being_written, progressive, read_sealed, unfinished, write_sealed


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
