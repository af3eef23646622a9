"""A model with a changed byte is used by nobody: whatever names it compares its files with their manifest first."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bertinchamps.api import load
from bertinchamps.errors import UserError
from bertinchamps.manifests import refuse_damaged, write_manifest
from bertinchamps.objectives.growing import grow_problems
from bertinchamps.objectives.teachers import teacher_problems
from bertinchamps.schemas import DistillationConfig
from bertinchamps.tasks.distillation import teacher_problems as problems_of_teachers
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.readers.relations import pair_problems
from bertinchamps.tasks.saved_model import entity_finder
from support import QUICK, composed
from untrained import LABELS, save_masked_words, save_task


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pretrained and a fine-tuned model in runs, each with one bit of its weights flipped."""
    folder = tmp_path_factory.mktemp("runs")
    pretrained = save_masked_words(folder / "pretrained")
    tuned = save_task(pretrained, "nested", folder / "teachers" / "tuned")
    for run in (pretrained, tuned):
        write_manifest(run / "model")
        flip(run / "model" / "model.safetensors")
    return {"pretrained": pretrained, "tuned": tuned}


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(UserError) as error:
        act()
    return str(error.value)


def test_every_setting_that_names_a_model_refuses_a_flipped_bit(runs: dict[str, Path]) -> None:
    pretrained, tuned = runs["pretrained"], runs["tuned"]
    entities = kinds.build("ner")
    distilling = composed(*QUICK, "objective=distillation", f"objective.teacher={pretrained}")
    told = {
        "objective.teacher": "\n".join(teacher_problems(distilling)),
        "grow.model": "\n".join(grow_problems(composed(*QUICK, f"grow.model={pretrained}"))),
        "fill_mask": refusal(lambda: load(pretrained)),
        "distillation.teachers": "\n".join(
            problems_of_teachers(DistillationConfig([str(tuned)]), entities, "nested", LABELS)
        ),
        "a folder of teachers": "\n".join(
            problems_of_teachers(DistillationConfig([str(tuned.parent)]), entities, "nested", LABELS)
        ),
        "task.ner": "\n".join(pair_problems({"ner": str(tuned)})),
        "ner": refusal(lambda: entity_finder(str(tuned), 8, None)),  # type: ignore[arg-type]
    }
    for setting, message in told.items():
        assert "model.safetensors was altered after it was written" in message, setting
        assert "restore the file from a copy" in message, setting


def test_a_model_that_was_whole_and_is_changed_later_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    write_manifest(tmp_path)
    refuse_damaged(tmp_path)
    flip(tmp_path / "config.json")
    os.utime(tmp_path / "config.json", ns=(1, 1))
    assert "config.json was altered" in refusal(lambda: refuse_damaged(tmp_path))
