"""Adapters, compressed with their base: at gentle rates, from wherever the base is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.checks.compressing import problems
from bertinchamps.compress import compress
from bertinchamps.compressing.material import material_of
from bertinchamps.compressing.recover import Recover
from bertinchamps.durable import read_json
from bertinchamps.finetune import finetune
from bertinchamps.merge import merge
from bertinchamps.model.adapters.saved import is_adapter
from bertinchamps.tasks.from_run import run_of
from support import composed
from test_finetune import QUICK
from tiny_corpora import opinions
from tiny_encoders import make_encoder

WIDTH = 32  # of the encoder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trained an adapter."""
    folder = tmp_path_factory.mktemp("adapter")
    words = ["task=classification", f"task.train={opinions(folder / 'train.jsonl')}", *QUICK, "adapter=lora"]
    words += [f"model={make_encoder('bert', folder / 'encoder')}", "report.html=false", "budget.epochs=1"]
    return finetune(composed(*words, f"run_dir={folder / 'run'}", command="finetune"))


RECOVER = "steps=[{name: recover, epochs: 1}]"


def settings(*words: str) -> Any:
    given = ["runtime=eager", "runtime.threads=1", "runtime.precision=fp32", "measure.repeats=0"]
    return composed(*given, *words, command="compress")


def test_recover_merges_an_adapter_by_itself(run: Path, tmp_path: Path) -> None:
    config = settings(f"model={run}", f"output={tmp_path / 'small'}", RECOVER)
    assert problems(config) == []
    compress(config)
    assert not is_adapter(tmp_path / "small")
    assert {file.name for file in (tmp_path / "small").iterdir() if file.name.startswith(".")} == set()
    before, after = read_json(tmp_path / "small" / "compress.json")["measured"]
    assert before["scores"]["accuracy"] <= after["scores"]["accuracy"]
    assert after["parameters"] < before["parameters"]  # those of the adapter are in the base's


def test_a_merged_adapter_is_compressed_while_its_run_is_there(run: Path, tmp_path: Path) -> None:
    merge(composed(f"model={run}", f"output={tmp_path / 'whole'}", command="merge"))
    words = [f"model={tmp_path / 'whole'}", f"output={tmp_path / 'small'}"]
    config = settings(*words, "steps=[{name: prune, layers: 1, examples: 8},{name: recover, epochs: 1}]")
    assert problems(config) == []
    compress(config)
    assert run_of(tmp_path / "small") == run.resolve()
    (tmp_path / "other").mkdir()
    whole = (tmp_path / "whole").rename(tmp_path / "other" / "whole")
    away = run.rename(run.with_name("away"))
    (found,) = problems(settings(f"model={whole}", f"output={tmp_path / 'again'}", RECOVER))
    away.rename(run)
    assert found == (
        f"model={whole}: came from the run {run.resolve()}, which knows its examples and is no longer there; move it "
        "back, or compress the run where it is now (model=RUN)"
    )


def test_the_base_may_be_named_as_a_run(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run.parent / "encoder", tmp_path / "base" / "model")
    words = [f"model={run}", f"output={tmp_path / 'small'}", "steps=[{name: prune, layers: 1, examples: 8}]"]
    config = settings(*words, f"base={tmp_path / 'base'}")
    assert problems(config) == []
    compress(config)
    (found,) = problems(settings(*words[:1], "output=new", words[2], f"base={tmp_path}"))
    assert f"No encoder in {tmp_path} (no config.json): name the directory of the base" in found


def test_recovery_after_an_adapter_has_a_rate_for_all_weights(run: Path) -> None:
    material = material_of(settings(f"model={run}", "output=small"))
    encoder = run.parent / "encoder"
    assert material.settings.optim["learning_rate"] == 2e-3
    chosen = Recover()._settings(encoder, material, run / "again")
    assert chosen.optim["learning_rate"] == pytest.approx(0.1 * 0.1 / WIDTH)
    material.settings.adapter = {"name": "none"}
    material.settings.optim["matrix_learning_rate"] = 6e-3
    chosen = Recover()._settings(encoder, material, run / "again")
    assert chosen.optim["learning_rate"] == chosen.optim["matrix_learning_rate"] == pytest.approx(2e-4)
