"""Adapters, compressed with their base: at gentle rates, from wherever the base is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertinchamps.compressing.material import material_of
from bertinchamps.compressing.recover import Recover
from bertinchamps.finetune import finetune
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


def settings(*words: str) -> Any:
    given = ["runtime=eager", "runtime.threads=1", "runtime.precision=fp32", "measure.repeats=0"]
    return composed(*given, *words, command="compress")


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
