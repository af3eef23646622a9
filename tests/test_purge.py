"""`purge` leaves nothing of the documents but what it was told to keep, and touches nothing before it is told to."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest
import yaml

from bertinchamps.checks.purging import problems
from bertinchamps.data.temporary import temporary_folder
from bertinchamps.errors import UserError
from bertinchamps.purge import purge
from bertinchamps.schemas import PurgeConfig
from support import QUICK, command

SECRET = "Zwartberghe"
NOTES = [f"Madame {SECRET} tousse depuis {number} jours et prend du doliprane.\n" for number in range(400)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a run on documents with a rare name, its cache, and predictions as fine-tuning leaves them."""
    place = tmp_path_factory.mktemp("purge")
    (place / "notes.txt").write_text("".join(NOTES), encoding="utf-8")
    data = [
        "data=files",
        "data.files=[notes.txt]",
        "data.txt_documents=line",
        "checkpoint.every_steps=1",
        "budget.steps=2",
        "run_dir=run",
    ]
    settings = [word for word in QUICK if not word.startswith("data")]
    made = command(
        "bertinchamps.pretrain", *settings, *data, cwd=place, BERTINCHAMPS_CACHE=str(place / "cache")
    )
    assert made.returncode == 0, made.stderr
    for folder in (place / "run", place / "run" / "folds" / "1"):
        (folder / "predictions").mkdir(parents=True)
        (folder / "predictions" / "test.jsonl").write_text(json.dumps({"text": NOTES[0]}), encoding="utf-8")
    shutil.copy(place / "run" / "run.json", place / "run" / "folds" / "1" / "run.json")
    (place / "run" / ".report.html.unfinished").write_text(SECRET, encoding="utf-8")
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with its own cache."""
    shutil.copytree(trained, tmp_path / "copy")
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "copy" / "cache"))
    return tmp_path / "copy"


def files_of(*folders: Path) -> dict[str, bytes]:
    return {
        str(file): file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()
    }


def test_nothing_is_touched_before_it_is_told_to(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(place)
    purge(PurgeConfig(runs=[str(place / "run")]))
    assert files_of(place).keys() - before.keys() <= {str(place / "run" / ".lock")}
    assert before.items() <= files_of(place).items()
    said = capsys.readouterr().err
    for name in (
        "run/predictions",
        "folds/1/predictions",
        "run/checkpoints",
        "cache/corpora",
        "cache/tokenizers",
        "cache/file_hashes.json",
    ):
        assert name in said
    assert "run/model" not in said
    assert "remove=true removes it" in said


def test_the_record_alone_has_no_word_of_the_documents(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holding = {
        name
        for name, content in files_of(place / "run", place / "cache").items()
        if SECRET.encode() in content
    }
    assert any("tokenizer.json" in name for name in holding)
    purge(PurgeConfig(runs=[str(place / "run")], keep="record", remove=True))
    left = files_of(place / "run", place / "cache")
    assert not [name for name, content in left.items() if SECRET.encode() in content]
    names = {Path(name).name for name in left}
    assert {"config.yaml", "run.json", "metrics.jsonl", "summary.json", "purged.json"} <= names
    assert not any(name.endswith((".bin", ".safetensors", ".pt")) for name in names)
    purge(PurgeConfig(runs=[str(place / "run")], keep="record", remove=True))
    assert "nothing left that comes from documents" in capsys.readouterr().err


def test_neither_paths_of_files_nor_examples_of_killed_processes_stay(place: Path) -> None:
    left = place / "cache" / "temporary" / "of-a-killed-process"
    left.mkdir(parents=True)
    (left / "train.jsonl").write_text(NOTES[0], encoding="utf-8")
    assert "notes.txt" in (place / "cache" / "file_hashes.json").read_text(encoding="utf-8")
    with temporary_folder() as used:
        purge(PurgeConfig(runs=[str(place / "run")], remove=True))
        assert used.exists()
    assert not [name for name in files_of(place / "cache") if "file_hashes" in name or "temporary" in name]
    assert "file_hashes.json" in json.loads((place / "run" / "purged.json").read_text())["removed"]


def test_the_model_stays_unless_told_otherwise_and_still_opens(place: Path) -> None:
    model = files_of(place / "run" / "model")
    purge(PurgeConfig(runs=[str(place / "run")], remove=True))
    assert files_of(place / "run" / "model") == model
    assert not (place / "run" / "checkpoints").exists()
    assert json.loads((place / "run" / "purged.json").read_text())["keep"] == "model"
    purge(PurgeConfig(runs=[str(place / "run")], corpus=False, remove=True))


def test_the_cache_is_left_where_it_is_asked_for(place: Path) -> None:
    before = files_of(place / "cache")
    purge(PurgeConfig(runs=[str(place / "run")], corpus=False, keep="record", remove=True))
    assert files_of(place / "cache") == before


def test_a_run_on_a_cache_elsewhere_is_purged_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = yaml.safe_load((place / "run" / "config.yaml").read_text(encoding="utf-8"))
    settings["blocks"]["cache_dir"] = str(place / "cache")
    (place / "run" / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(place / "another"))
    purge(PurgeConfig(runs=[str(place / "run")], remove=True))
    assert not [name for name in files_of(place / "cache") if name.endswith((".bin", "tokenizer.json"))]


def test_a_run_that_is_being_trained_is_left_alone(place: Path) -> None:
    before = files_of(place)
    with (place / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="being trained now"):
            purge(PurgeConfig(runs=[str(place / "run")], remove=True))
    assert before.items() <= files_of(place).items()


def test_what_is_no_run_is_refused_with_all_other_mistakes(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    config = PurgeConfig(runs=[str(tmp_path / "letters"), str(tmp_path / "none")], keep="all")
    found = problems(config)
    assert [line.partition(":")[0] for line in found] == ["keep=all", "runs", "runs"]
    assert "no run (it has no run.json" in found[1]
    assert problems(PurgeConfig()) == ["runs: none given; name directories of runs, such as runs/mine"]
    told = command("bertinchamps.purge", "letters", cwd=tmp_path)
    assert told.returncode == 2
    assert "runs: letters: no run" in told.stderr
