"""`evaluation.also`: other documents are scored beside the held-out ones, and change nothing of the training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_continuing import QUICK, stopped_and_resumed, summary_of, went_on

from bertinchamps.checks.pretraining import problems
from bertinchamps.errors import UserError
from bertinchamps.exporting import Source
from bertinchamps.exporting.card_run import told_of
from bertinchamps.objectives import build_objective
from bertinchamps.pretrain import open_corpus, pretrain
from bertinchamps.purge import purge
from bertinchamps.schemas import PurgeConfig
from bertinchamps.training.distributed import join
from families import make_masked_lm
from support import composed, losses, metrics


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_masked_lm("bert", tmp_path_factory.mktemp("bases") / "bert")


@pytest.fixture
def general(tmp_path: Path) -> Path:
    """Documents that have little to do with the demo's."""
    random = np.random.default_rng(0)
    words = ["une", "ville", "du", "nord", "fut", "fondée", "par", "des", "marins", "au", "siècle"]
    file = tmp_path / "general.jsonl"
    rows = ({"text": f"{number} {' '.join(random.choice(words, 60))}."} for number in range(12))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def also(file: Path, share: float = 1) -> str:
    general = f"{{title:general,name:files,files:[{file}],share:{share}}}"
    return f"evaluation.also=[{general},{{name:demo,documents:90}}]"


def own(scores: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if "/" not in name}


@pytest.fixture
def plain(base: Path, tmp_path: Path) -> Path:
    return went_on(base, tmp_path / "plain", "budget.steps=4")


def test_samples_are_scored_before_and_after_and_leave_the_training_alone(
    base: Path, plain: Path, general: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = went_on(base, tmp_path / "run", "budget.steps=4", also(general))
    assert losses(run) == losses(plain)
    summary, before = summary_of(run), summary_of(run)["held_out_before"]
    assert own(summary["held_out"]) == summary_of(plain)["held_out"]
    names = [f"{title}{name}" for title in ("", "general/", "demo/") for name in own(summary["held_out"])]
    assert list(summary["held_out"]) == list(before) == names
    assert all(set(record) >= set(names) for record in metrics(run, "held_out"))
    config = composed(*QUICK, f"model={base}", "budget.steps=4", also(general))
    corpus = open_corpus(config, join())
    alone = build_objective(config, replace(corpus.also["general"], also={}), torch.device("cpu"))
    scores = alone.evaluate(alone.build_model(None).eval())
    assert scores == {n.removeprefix("general/"): v for n, v in before.items() if n.startswith("general/")}
    assert corpus.also["general"].manifest["held_out"]["documents"] == 12
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "(general)" in line]
    assert [line.split("  ")[0].split(" loss")[0] for line in lines] == [
        "held out (general)",
        "before (general)",
    ]
    word = "gained" if before["general/loss"] >= summary["held_out"]["general/loss"] else "forgotten"
    assert f"; {word}: " in lines[1]
    card = told_of(Source(run / "model", run, None), run)
    assert card is not None
    assert any("on other documents (general)" in remark for remark in card.remarks)
    assert summary["held_out_also"]["general"]["fingerprint"] == corpus.also["general"].fingerprint


def test_a_run_that_goes_on_scores_the_same_documents_or_none(
    base: Path, general: Path, tmp_path: Path
) -> None:
    words = ["budget.steps=5", also(general)]
    whole = went_on(base, tmp_path / "whole", *words)
    halves = stopped_and_resumed(base, tmp_path / "halves", words)
    assert summary_of(halves)["held_out"] == summary_of(whole)["held_out"]
    assert summary_of(halves)["held_out_before"] == summary_of(whole)["held_out_before"]
    (halves / "summary.json").unlink()
    general.write_text(general.read_text().replace("ville", "ferme"))
    with pytest.raises(
        UserError, match=r"evaluation\.also, general: not the documents with which this run began"
    ):
        went_on(base, halves, *words, "resume=auto")


def test_new_models_are_scored_too_and_what_is_held_out_is_never_trained_on(
    general: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = [word for word in QUICK if not word.startswith(("experiment", "data"))]
    words = ["experiment=short", "arch=tiny", *quick, "tokenizer.vocab_size=200", "budget.steps=2"]
    documents = ["data=files", f"data.files=[{general}]", "blocks.held_out_share=0.4"]
    beside = f"evaluation.also=[{{title:same,name:files,files:[{general}]}}]"
    config = composed(*words, *documents, beside, f"run_dir={tmp_path / 'run'}")
    corpus = open_corpus(config, join())
    ids = [
        split.read(np.arange(len(split))).tolist()
        for split in (corpus.held_out, corpus.also["same"].held_out)
    ]
    assert ids[0] == ids[1]
    run = pretrain(config)
    scores = summary_of(run)["held_out"]
    assert scores["same/loss"] == scores["loss"]
    purge(PurgeConfig(runs=[str(run)], remove=True))
    assert not corpus.also["same"].folder.exists()
    assert not corpus.folder.exists()


def test_mistakes_are_told_at_once_and_too_few_documents_by_their_title(
    base: Path, general: Path, tmp_path: Path
) -> None:
    def found(*words: str) -> str:
        return "\n".join(problems(composed(*QUICK, f"model={base}", "budget.steps=1", *words)))

    said = found(
        "evaluation.also=[{title:a b,name:demo},{name:demo},{name:demo,share:2},{title:d,name:demmo}]"
    )
    assert "evaluation.also[0].title=a b: letters" in said
    assert "evaluation.also[2].title=demo: there is one of that title" in said
    assert "evaluation.also[2].share=2: of the documents" in said
    assert "evaluation.also[3]: " in said
    assert "did you mean 'demo'" in said
    config: Any = composed(*QUICK, f"model={base}", "budget.steps=1", also(general, share=1e-9))
    with pytest.raises(UserError, match=r"evaluation\.also, general: 0 documents .* share: 1"):
        open_corpus(config, join())
    config = composed(*QUICK, f"model={base}", "budget.steps=1", also(tmp_path / "nothing.jsonl"))
    with pytest.raises(UserError, match=r"evaluation\.also, general: .*nothing\.jsonl"):
        open_corpus(config, join())
