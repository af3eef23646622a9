"""A run that begins as a smaller model: equal losses at the start, what is refused, what is recorded, resuming."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bertinchamps.checks.pretraining import problems
from bertinchamps.pretrain import pretrain
from support import QUICK, composed, losses, metrics

WIDER = ["arch.hidden_size=128", "arch.num_attention_heads=4", "arch.intermediate_size=256"]
DEEPER = ["arch.num_hidden_layers=5"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A run of `tiny`, trained for a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTINCHAMPS_CACHE", str(cache))
        folder = tmp_path_factory.mktemp("small") / "run"
        return pretrain(composed(*QUICK, "budget.steps=20", "optim.learning_rate=5e-3", f"run_dir={folder}"))


@pytest.mark.parametrize("larger", [WIDER, DEEPER], ids=["wider", "deeper"])
def test_held_out_loss_goes_on_from_the_small_models(
    small: Path, larger: list[str], quick_run: Callable[..., Path]
) -> None:
    run = quick_run(
        f"grow.model={small}", *larger, "budget.steps=2", "optim.learning_rate=1e-12", "optim.weight_decay=0"
    )
    ended = json.loads((small / "summary.json").read_text())["held_out"]
    assert metrics(run, "held_out")[-1]["loss"] == pytest.approx(ended["loss"], rel=1e-5)


def test_a_grown_run_records_what_it_grew_from_and_what_that_cost(
    small: Path, quick_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run(f"grow.model={small}", *DEEPER, "budget.steps=1", name="grown")
    spent = json.loads((small / "summary.json").read_text())["spent"]
    summary, facts = (
        json.loads((run / name).read_text()) for name in ("summary.json", "model/pretraining.json")
    )
    assert summary["grown_from"]["model"] == small.name
    assert summary["before"] == pytest.approx(
        {name: spent[name] for name in ("seconds", "tokens", "flops")}, rel=0.5
    )
    assert facts["grown_from"] == summary["grown_from"]
    assert "hours before" in (run / "report.html").read_text(encoding="utf-8")
    assert "from which it grew; together" in capsys.readouterr().err
    again = quick_run(f"grow.model={run}", *DEEPER, "budget.steps=1", name="again")
    before = json.loads((again / "summary.json").read_text())["before"]
    assert before["tokens"] == spent["tokens"] + summary["spent"]["tokens"]


def test_a_resumed_run_does_not_grow_again_and_needs_the_small_model_no_more(
    small: Path, tmp_path: Path, quick_run: Callable[..., Path]
) -> None:
    copy = shutil.copytree(small, tmp_path / "copy")
    words = [f"grow.model={copy}", *DEEPER, "budget.steps=4", "checkpoint.every_steps=2"]
    whole = quick_run(*words, name="whole")
    (whole / "summary.json").unlink()
    shutil.rmtree(max((whole / "checkpoints").iterdir()))
    shutil.rmtree(copy)
    resumed = quick_run(*words, "resume=auto", name="whole")
    first, second = losses(resumed)[2:4], losses(resumed)[-2:]
    assert second == first
    assert json.loads((resumed / "model/pretraining.json").read_text())["grown_from"]["model"] == copy.name


def test_shapes_that_cannot_be_grown_are_refused_with_those_that_can(small: Path) -> None:
    def found(*words: str) -> str:
        return "\n".join(problems(composed(*QUICK, "budget.steps=1", f"grow.model={small}", *words)))

    assert "norms allow whole multiples alone: 64, 128, 192, …" in found(
        "arch.hidden_size=96", "arch.num_attention_heads=3"
    )
    assert "give arch.num_attention_heads=4" in found("arch.hidden_size=128", "arch.num_attention_heads=8")
    assert "arch.num_hidden_layers=1" in found("arch.num_hidden_layers=1")
    assert "arch.intermediate_size=64" in found("arch.intermediate_size=64")
    assert "give arch.feed_forward=glu" in found("arch.feed_forward=mlp")
    assert "arch.final_norm=false: with the embedding as decoder" in found(*WIDER, "arch.final_norm=false")
    assert found(*WIDER) == ""
    assert "no model there" in found(f"grow.model={small / 'nothing'}")


def test_another_tokenizer_is_refused_before_any_work(small: Path) -> None:
    words = [*QUICK, "budget.steps=1", f"grow.model={small}", *DEEPER, "data.documents=500"]
    (found,) = problems(composed(*words))
    assert f"add tokenizer.path={small / 'model'}" in found
    assert problems(composed(*words, f"tokenizer.path={small / 'model'}")) == []
