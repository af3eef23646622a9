"""Runs with adapters, from the command line's settings to predictions, merged models and refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from bertinchamps.checks.finetuning import problems
from bertinchamps.composing import config_dir
from bertinchamps.errors import UserError
from bertinchamps.finetune import finetune
from bertinchamps.merge import merge
from bertinchamps.model.adapters.saved import base_if_moved
from bertinchamps.predict import predict
from bertinchamps.schemas import MergeConfig
from bertinchamps.tasks import saved_model
from bertinchamps.tasks.formats import brat
from bertinchamps.tasks.together import Together
from support import before_update, command, composed, fail
from test_finetune import QUICK
from tiny_corpora import brat_corpus, documents, opinions, related_corpus
from tiny_encoders import make_encoder

NAMES = sorted(file.stem for file in (config_dir() / "adapter").glob("*.yaml"))
LEARNING = ["budget.epochs=20", "selection.every_epochs=10", "optim.learning_rate=2e-2", "dropout=0"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder, a corpus and texts with classes."""
    folder = tmp_path_factory.mktemp("adapters")
    make_encoder("bert", folder / "encoder")
    brat_corpus(folder / "corpus")
    opinions(folder / "opinions.jsonl")
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    def finetuned(name: str, *words: str, task: str = "ner") -> tuple[Path, dict[str, Any]]:
        folder = place / name
        config = settings(place, *words, f"run_dir={folder}", task=task)
        assert problems(config) == []
        finetune(config)
        return folder, json.loads((folder / "results.json").read_text(encoding="utf-8"))

    return finetuned


@pytest.fixture(scope="module")
def tagger(run: Any) -> tuple[Path, dict[str, Any]]:
    return run("tagger", "adapter=lora", "head=nested", *LEARNING)


def settings(place: Path, *words: str, task: str = "ner") -> Any:
    splits = (
        [f"task.{split}={place / 'corpus' / split}" for split in ("train", "dev", "test")]
        if task == "ner"
        else [f"task.train={place / 'opinions.jsonl'}"]
    )
    return composed(f"task={task}", *splits, *QUICK, f"model={place / 'encoder'}", *words, command="finetune")


def labelled(model: Path, place: Path, output: Path, *words: str) -> Any:
    words = (f"model={model}", f"input={place / 'corpus/test'}", f"output={output}", "runtime=eager", *words)
    predict(composed(*words, command="predict"))
    return brat.read_folder(output)


@pytest.mark.parametrize("name", NAMES)
def test_every_adapter_composes_with_a_rate_of_its_own(name: str, place: Path) -> None:
    config = settings(place, f"adapter={name}", "recipe=entities")
    assert problems(config) == []
    rate = config.optim["learning_rate"]
    assert rate is None if name == "none" else rate >= 1e-3
    assert settings(place, f"adapter={name}", "optim.learning_rate=7e-4").optim["learning_rate"] == 7e-4


def test_a_run_leaves_an_adapter_and_no_base_and_predicts_what_it_evaluated(
    tagger: tuple[Path, dict[str, Any]], place: Path, tmp_path: Path
) -> None:
    folder, results = tagger
    model = folder / "model"
    assert {file.name for file in model.glob("*.safetensors")} == {
        "adapter_model.safetensors", "adapter_head.safetensors",
    }  # fmt: skip
    assert not (model / "config.json").exists()
    stored = 0
    for file in model.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            stored += sum(tensors.get_tensor(name).numel() for name in tensors.keys())  # noqa: SIM118
    assert results["trained_parameters"] == stored
    assert results["parameters"] > 2 * 300 * 32 // 2 + stored
    assert results["stored_bytes"] == sum(file.stat().st_size for file in model.glob("*.safetensors"))
    assert results["scores"]["dev"]["nested_exact"]["f1"] > 0
    found = labelled(folder, place, tmp_path / "labelled")
    assert found == brat.read_folder(folder / "predictions" / "test" / "brat")
    assert any(document.entities for document in found)


@pytest.mark.parametrize(
    ("name", "task"), [("ia3", "ner"), ("prompt", "classification"), ("lora", "classification")]
)
def test_other_adapters_learn(name: str, task: str, run: Any) -> None:
    _, results = run(f"{name}-{task}", f"adapter={name}", *LEARNING, "max_length=44", task=task)
    dev = results["scores"]["dev"]
    assert (dev["strict"]["f1"] if task == "ner" else dev["classes"]["accuracy"]) > 0.3
    assert results["trained_parameters"] < results["parameters"] / 5


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_run_that_breaks_off_goes_on_to_the_same_result(
    checkpointing: bool, run: Any, place: Path, tmp_path: Path
) -> None:
    words = [
        "adapter=lora",
        "head=nested",
        "budget.epochs=6",
        "selection.every_epochs=1",
        "checkpoint.every_steps=1",
    ]
    words.append(f"runtime.activation_checkpointing={str(checkpointing).lower()}")
    whole, _ = run(f"whole-{checkpointing}", *words)
    broken = place / f"broken-{checkpointing}"
    with before_update(6, fail), pytest.raises(UserError, match="here"):
        finetune(settings(place, *words, f"run_dir={broken}"))
    kept = sorted((broken / "checkpoints").iterdir())[-1]
    assert not (kept / "model.safetensors").exists()
    with safe_open(kept / "resume" / "best.safetensors", framework="pt") as best:
        assert all("lora" in name or name.startswith("head.") for name in best.keys())  # noqa: SIM118
    finetune(settings(place, *words, f"run_dir={broken}", f"resume={broken}"))
    for file in ("adapter_model.safetensors", "adapter_head.safetensors"):
        assert (whole / "model" / file).read_bytes() == (broken / "model" / file).read_bytes()


def test_a_merged_model_is_whole_and_gives_the_same_predictions(
    tagger: tuple[Path, dict[str, Any]], place: Path, tmp_path: Path
) -> None:
    folder, _ = tagger
    merge(MergeConfig(model=str(folder), output=str(tmp_path / "merged")))
    shutil.copytree(place / "encoder", tmp_path / "away")
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    assert not (tmp_path / "merged" / "base.json").exists()
    found = labelled(tmp_path / "merged", place, tmp_path / "labelled")
    assert [d.entities for d in found] == [
        d.entities for d in brat.read_folder(folder / "predictions" / "test" / "brat")
    ]
    with pytest.raises(UserError, match="a whole model already"):
        merge(MergeConfig(model=str(tmp_path / "merged"), output=str(tmp_path / "again")))


def test_a_prompt_is_not_merged(run: Any, tmp_path: Path) -> None:
    folder, _ = run("short-prompt", "adapter=prompt", "max_length=40", "budget.epochs=1")
    with pytest.raises(UserError, match="cannot be merged: a prompt is read before each text"):
        merge(MergeConfig(model=str(folder), output=str(tmp_path / "merged")))
    assert not (tmp_path / "merged").exists()


def test_the_base_is_found_where_base_says_and_another_one_is_refused(
    tagger: tuple[Path, dict[str, Any]], place: Path, tmp_path: Path
) -> None:
    folder, _ = tagger
    shutil.copytree(place / "encoder", tmp_path / "moved")
    expected = brat.read_folder(folder / "predictions" / "test" / "brat")
    assert labelled(folder, place, tmp_path / "a", f"base={tmp_path / 'moved'}") == expected
    torch.manual_seed(0)
    make_encoder("roberta", tmp_path / "other")
    with pytest.raises(
        UserError, match=r"trained on .*encoder, whose encoder has the fingerprint .*other has"
    ):
        labelled(folder, place, tmp_path / "b", f"base={tmp_path / 'other'}")


def test_a_finder_of_entities_has_the_base_of_the_model_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_encoder("bert", tmp_path / "here")
    linked = related_corpus(tmp_path / "corpus")
    words = [*QUICK, f"model={tmp_path / 'here'}", "adapter=lora", "budget.epochs=1", "report.intervals=0"]
    for name, task in (("tagger", ["task=ner", *linked[1:], "head=flat"]), ("linker", linked)):
        finetune(composed(*task, *words, f"run_dir={tmp_path / name}", command="finetune"))
    moved = str(tmp_path / "moved")
    assert base_if_moved(tmp_path / "tagger/model", moved) is None, "it may have another base, which is there"
    (tmp_path / "here").rename(moved)
    opened: list[torch.nn.Module] = []
    opening = saved_model._opened

    def noted(*given: Any) -> Any:
        found = opening(*given)
        opened.append(found[0])
        return found

    monkeypatch.setattr(saved_model, "_opened", noted)
    asked = [f"model={tmp_path / 'linker'}", f"ner={tmp_path / 'tagger'}", "runtime=eager"]
    asked += [f"input={tmp_path / 'corpus/test'}", f"base={moved}"]
    predict(composed(*asked, f"output={tmp_path / 'out'}", command="predict"))
    assert len(brat.read_folder(tmp_path / "out")) == 4
    found, related = ({id(each) for each in model.parameters() if not each.requires_grad} for model in opened)
    assert set() != found <= related  # which has a pooler, too


def test_several_tasks_over_one_base_share_it_and_find_what_they_find_alone(
    tagger: tuple[Path, dict[str, Any]], run: Any, place: Path
) -> None:
    classes, _ = run("classes", "adapter=ia3", *LEARNING, task="classification")
    texts = [document.text for document in documents(6)]
    together = Together([str(tagger[0]), str(classes)])
    found = together.label(texts)
    assert list(found) == [str(tagger[0]), str(classes)]
    for name, predicted in found.items():
        assert Together([name]).label(texts) == {name: predicted}
        assert [one["text"] for one in predicted] == texts
    alone = [Together([str(folder)]).parameters() for folder in (tagger[0], classes)]
    base = 300 * 32  # at least: the embedding's rows
    assert together.parameters() < sum(alone) - base
    assert together.parameters() < 1.4 * max(alone)


def test_what_does_not_go_together_is_refused_before_anything_starts(place: Path) -> None:
    def told(*words: str) -> str:
        return "\n".join(problems(settings(place, *words)))

    assert (
        "adapter=lora: keeps the encoder's weights as they are, and those of model=scratch are random"
        in told("adapter=lora", "model=scratch")
    )
    assert "optim=muon: trains matrices inside the layers, and adapter=ia3 has none" in told(
        "adapter=ia3", "optim=muon"
    )
    assert told("adapter=lora", "optim=muon") == ""
    assert "adapter.rank=0: must be at least 1" in told("adapter=lora", "adapter.rank=0")
    assert "adapter=lara: no such adapter; did you mean 'lora'?" in told("adapter.name=lara")
    with pytest.raises(
        UserError,
        match=r"max_length=48: .* at most 64 tokens at once, 20 of them the prompt's; set max_length=44",
    ):
        finetune(settings(place, "adapter=prompt", f"run_dir={place / 'never'}"))


def test_an_adapter_is_no_encoder(tagger: tuple[Path, dict[str, Any]], place: Path) -> None:
    (told,) = problems(settings(place, f"model={tagger[0]}"))
    assert "an adapter, without the weights of its base; python -m bertinchamps.merge" in told


def test_damaged_adapters_are_refused(
    tagger: tuple[Path, dict[str, Any]], place: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tagger[0] / "model", model)
    (model / "base.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"base\.json was altered|base\.json is cut"):
        labelled(model, place, tmp_path / "a")
    (model / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"base\.json: missing or damaged"):
        labelled(model, place, tmp_path / "b")


def test_the_commands_run(tagger: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    merged = command("bertinchamps.merge", f"model={tagger[0]}", "output=whole", cwd=tmp_path)
    assert merged.returncode == 0, merged.stderr
    assert "lora of rank 8 beside self.query, self.key, self.value (6 maps)" in merged.stderr
    again = command("bertinchamps.merge", f"model={tagger[0]}", "output=whole", cwd=tmp_path)
    assert again.returncode == 2
    assert "output=whole: is there already" in again.stderr
