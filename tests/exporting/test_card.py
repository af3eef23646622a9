"""The model card: what the Hub reads of it, what a reader learns from it, and what is not in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from bertinchamps.exporting import Source, card_words
from bertinchamps.exporting.card_run import told_of
from bertinchamps.exporting.marker import read_marker
from bertinchamps.tasks.facts import read_facts as read_task
from support import QUICK, command
from tiny_corpora import brat_corpus

SECRET, FOLDER, FILE = "Zébulonnier", "dossiers_secrets", "registre_de_mars"
ENCODER = ["arch=modern", "arch.num_hidden_layers=1", "arch.hidden_size=32", "arch.num_attention_heads=2"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained model and a tagger with their cards, made of files with telling names."""
    place = tmp_path_factory.mktemp("card")
    (place / FOLDER).mkdir()
    notes = [{"text": f"Madame {SECRET} a {n} ans et consulte pour une toux. " * 20} for n in range(20, 80)]
    (place / FOLDER / f"{FILE}.jsonl").write_text("\n".join(map(json.dumps, notes)), encoding="utf-8")
    words = [word for word in QUICK if not word.startswith(("data", "arch"))]
    words += [*ENCODER, "arch.intermediate_size=64", "data=files", f"data.files=[{FOLDER}/{FILE}.jsonl]"]
    corpus = brat_corpus(place / FOLDER)
    tuning = ["runtime=eager", "max_length=48", "budget.epochs=1"]
    for line in (
        ["pretrain", *words, "budget.steps=2", "run_dir=runs/mine"],
        ["finetune", *corpus, "model=runs/mine", *tuning, "run_dir=runs/tagger"],
        ["export", "model=runs/mine", "output=exported", "license=apache-2.0"],
        ["export", "model=runs/tagger", "output=tagger"],
    ):
        cache = {"BERTINCHAMPS_CACHE": str(place / "cache")}
        done = command(f"bertinchamps.{line[0]}", *line[1:], cwd=place, **cache)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
    assert f"card       {Path('tagger') / 'README.md'}" in done.stdout + done.stderr
    return place


def test_the_header_of_a_pretrained_model_is_what_the_hub_reads(exported: Path) -> None:
    header = ModelCard.load(exported / "exported/README.md").data
    assert (header.language, header.license, header.library_name) == ("fr", "apache-2.0", "transformers")
    assert header.pipeline_tag == "fill-mask"
    assert header.tags == ["bertinchamps", "french"]
    summary = json.loads((exported / "runs/mine/summary.json").read_text(encoding="utf-8"))
    found = {result.metric_type: result.metric_value for result in header.eval_results}
    assert found == summary["held_out"]
    assert {result.dataset_split for result in header.eval_results} == {"held out"}


def test_the_card_of_a_pretrained_model_tells_data_recipe_budget_and_cost(exported: Path) -> None:
    text = (exported / "exported/README.md").read_text(encoding="utf-8")
    summary, facts = (
        json.loads((exported / "runs/mine" / name).read_text(encoding="utf-8"))
        for name in ("summary.json", "run.json")
    )
    assert f"fingerprint of the data: `{facts['data_fingerprint']}`" in text
    assert "No test set was looked for in the documents" in text
    assert "| class | ModernBertForMaskedLM |" in text
    assert "| layers × width | 1 × 32 |" in text
    assert "| optimizer | adamw |" in text
    assert "| updates | 2 |" in text
    assert f"| tokens | {summary['spent']['tokens']:,} |" in text
    assert f"{summary['cost']['energy_kwh']:.3g} kWh" in text
    assert f"| held out | masked tokens, mask of 15 % | loss | {summary['held_out']['loss']:.4f} |" in text
    assert "| 2 |" in text
    assert "python -m bertinchamps.pretrain tokenizer.vocab_size=400" in text
    assert "data=files 'data.files" not in text
    assert "data=files data.files=… budget.steps=2 run_dir=…" in text
    assert 'pipeline("fill-mask", model="MODEL")' in text


def test_the_card_of_a_tagger_has_each_score_with_protocol_split_and_caveat(exported: Path) -> None:
    text = (exported / "tagger/README.md").read_text(encoding="utf-8")
    results = json.loads((exported / "runs/tagger/results.json").read_text(encoding="utf-8"))
    header = ModelCard(text).data
    assert header.pipeline_tag == "token-classification"
    assert header.license is None
    assert header.base_model is None
    assert "No licence was chosen for this model" in text
    strict = results["scores"]["test"]["strict"]["f1"]
    assert any(
        (result.dataset_split, result.metric_type, result.metric_value) == ("test", "f1", strict)
        for result in header.eval_results
    )
    assert f"longest spans only (IOB2) | F1 | {100 * strict:.1f} % |" in text
    assert "It scores tags one by one, and O, the commonest and easiest of them" in text
    assert "| layers × width | 1 × 32 |" in text
    assert f"| learning rate | {results['learning_rate']} |" in text
    assert (
        "| entries of the tokenizer |" not in text
    )  # a default, which no model of a run from an encoder has
    assert "whether pretraining saw the text of test: not measured." in text
    assert "The encoder was pretrained with bertinchamps on a corpus of the fingerprint" in text
    assert "examples of the model's makers" in text
    assert "head=flat" not in text
    assert read_marker(exported / "tagger") == {"name": "hf", "remote_code": False}


@pytest.mark.parametrize("name", ["exported", "tagger"])
def test_no_word_of_the_documents_and_no_place_is_in_what_is_exported(exported: Path, name: str) -> None:
    needles = [SECRET, FOLDER, FILE, str(exported), "/home/", "/tmp/", "runs/mine"]
    for file in (exported / name).iterdir():
        if file.name not in ("tokenizer.json", "model.safetensors"):  # which docs/privacy.md tells of
            content = file.read_text(encoding="utf-8")
            assert [needle for needle in needles if needle in content] == [], file


def test_scores_of_subtasks_are_told_with_what_pretraining_saw_of_each(
    exported: Path, tmp_path: Path
) -> None:
    run = tmp_path / "both"
    shutil.copytree(exported / "runs/tagger", run)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    fact = {
        "measured": True,
        "lines": 4,
        "short_lines": 0,
        "found": 3,
        "whole": 2,
        "left": 1,
        "actions": ["cut"],
    }
    part = {"data_fingerprint": "x", "pretraining_saw": {"test": fact}}
    part["scores"] = {"test": {"strict": {"precision": 0.25, "recall": 0.5, "f1": 1 / 3}}}
    (run / "results.json").write_text(
        json.dumps({**results, "subtasks": {"quaero_emea": part}}), encoding="utf-8"
    )
    told = told_of(Source(run / "model", run, read_task(run / "model")), run)
    assert told is not None
    assert {score.shown for score in told.scores if score.split == "test of quaero_emea"} == {
        "25.0 %", "50.0 %", "33.3 %",
    }  # fmt: skip
    assert any(
        sentence.startswith("pretraining saw 1 of 4 lines of test of quaero_emea")
        for sentence in told.overlap
    )
    (run / "results.json").unlink()
    assert told_of(Source(run / "model", run, None), run) is None  # not finished


def test_a_command_is_told_without_what_its_user_named() -> None:
    given = (
        "python -m bertinchamps.finetune task=ner 'task.train=/data/Dupont Jean/train' head=nested seed=3 "
        "+budget=10m budget.hours=1.5 'task.label=nom du patient' label=secret runtime=eager optim.learning_rate=1e-4 "
        "optim.betas=[0.9,0.98] --multirun --config-dir /home/dupont data=../private"
    )
    assert card_words.command(given) == (
        "python -m bertinchamps.finetune task=ner task.train=… head=nested seed=3 +budget=10m budget.hours=1.5 "
        "task.label=… label=… runtime=eager optim.learning_rate=1e-4 optim.betas=[0.9,0.98] --multirun --config-dir … "
        "data=…"
    )


def test_sources_are_named_where_they_are_public() -> None:
    data = {
        "name": "mix",
        "sources": [
            {"weight": 0.25, "name": "files", "files": ["secret/a.jsonl"]},
            {"weight": 0.75, "name": "hub", "repository": "owner/corpus"},
        ],
    }
    assert list(card_words.sources(data)) == [
        ("files of the model's makers, which are not named here (weight 0.25)", None),
        ("the dataset owner/corpus of the Hugging Face Hub (weight 0.75)", "owner/corpus"),
    ]
    assert card_words.task_name({"name": "quaero", "corpus": "EMEA"}, "quaero_emea") == "quaero_emea"
    assert card_words.task_name({"name": "ner", "train": "a/b"}, "ner_b") is None
    assert card_words.remarks(["2 of 3 texts, 1.5 %", "see a/b", "train.csv is short"]) == [
        "2 of 3 texts, 1.5 %"
    ]


def test_a_base_is_named_where_it_was_read_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda name, file: "/cache/config.json" if name == "almanach/camembert-base" else None,
    )
    (tmp_path / "almanach/camembert-base").mkdir(parents=True)
    assert card_words.hub_name("almanach/camembert-base") == "almanach/camembert-base"
    assert card_words.hub_name("runs/mine") is None
    monkeypatch.chdir(tmp_path)
    assert card_words.hub_name("almanach/camembert-base") is None
