"""Which model `model=` means where runs of both commands may be meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertinchamps.errors import UserError
from bertinchamps.exporting.source import open_source
from bertinchamps.schemas import ExportConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.training.run_files import SUMMARIES


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished run of each command, the fine-tuned one the later."""
    for age, command in enumerate(reversed(SUMMARIES)):
        model = tmp_path / command / "model"
        model.mkdir(parents=True)
        for file in (
            tmp_path / command / "run.json",
            tmp_path / command / SUMMARIES[command],
            model / "config.json",
        ):
            file.write_text("{}")
        os.utime(tmp_path / command / SUMMARIES[command], (2e9 - age, 2e9 - age))
    TaskFacts("notes", "ner", "flat", ("DISO",), 128).save(tmp_path / "finetune" / "model")
    return tmp_path


def test_last_is_the_newest_run_of_either_command(runs: Path) -> None:
    source = open_source(ExportConfig(runs_dir=str(runs)))
    assert source.run == runs / "finetune"
    assert source.folder == runs / "finetune" / "model"
    assert source.facts is not None
    os.utime(runs / "pretrain" / SUMMARIES["pretrain"], (2e9 + 1, 2e9 + 1))
    source = open_source(ExportConfig(runs_dir=str(runs)))
    assert (source.run, source.facts) == (runs / "pretrain", None)


def test_a_run_and_its_model_are_one(runs: Path) -> None:
    given = (str(runs / "pretrain"), str(runs / "pretrain" / "model"))
    assert open_source(ExportConfig(model=given[0])) == open_source(ExportConfig(model=given[1]))


def test_where_no_model_is_a_message_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="model=last: no finished run in"):
        open_source(ExportConfig(runs_dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"model=.*: no model is there \(no config.json"):
        open_source(ExportConfig(model=str(tmp_path)))
