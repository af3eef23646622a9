"""The best share of the documents becomes a threshold, found once on a sample, and the rest is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_corpus import built, failure, forbidden, settings, write
from test_online import configured

from bertinchamps.checks.pretraining import problems
from bertinchamps.data import planning
from bertinchamps.data.cleaning import best
from bertinchamps.data.online import open_online
from bertinchamps.data.planning import build_source, checked_source
from bertinchamps.pretrain import open_corpus
from bertinchamps.schemas import PrepareConfig
from bertinchamps.training.distributed import join
from support import composed


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def dense(count: int = 200) -> list[str]:
    """Documents of 20 different words, of which document n has n % 20 words of the list, in no order."""
    random = np.random.default_rng(0)
    texts = []
    for number in range(count):
        terms = number % 20
        words = [f"terme{place}" for place in range(terms)] + [
            f"mot{number}x{place}" for place in range(20 - terms)
        ]
        texts.append(" ".join(random.permutation(words)))
    return [texts[place] for place in random.permutation(count)]


@pytest.fixture
def terms(tmp_path: Path) -> Path:
    file = tmp_path / "terms.txt"
    file.write_text("\n".join(f"terme{place}" for place in range(20)), encoding="utf-8")
    return file


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return write(tmp_path / "notes.jsonl", dense())


def step(terms: Path, share: float = 0.25) -> dict[str, Any]:
    return {"name": "density", "files": [str(terms)], "best": share}


def kept(config: PrepareConfig) -> tuple[int, dict[str, Any]]:
    """Documents that the last step leaves, and its facts in the manifest."""
    manifest = built(config).manifest
    return manifest["cleaning"][-1]["documents_out"], manifest["shaped_by"]["cleaning"][-1]


def test_the_share_is_kept_and_the_corpus_says_from_which_threshold_on(notes: Path, terms: Path) -> None:
    documents, facts = kept(settings(notes, cleaning=[step(terms)]))
    assert documents == 50
    assert facts["least"] == 0.75
    least = {**step(terms), "least": 0.75}
    del least["best"]
    assert (
        built(settings(notes, cleaning=[least])).fingerprint
        == built(settings(notes, cleaning=[step(terms)])).fingerprint
    )
    assert (
        built(settings(notes, cleaning=[step(terms, 0.5)])).fingerprint
        != built(settings(notes, cleaning=[least])).fingerprint
    )


def test_the_share_is_of_what_the_steps_before_leave(notes: Path, terms: Path) -> None:
    first = {"name": "density", "files": [str(terms)], "least": 0.5}
    documents, facts = kept(settings(notes, cleaning=[first, step(terms, 0.2)]))
    assert (documents, facts["least"]) == (20, 0.9)
    twice = [step(terms, 0.5), step(terms, 0.2)]
    assert kept(settings(notes, cleaning=twice)) == (documents, facts)


def test_a_threshold_is_found_once_and_told_each_time(
    notes: Path, terms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    config = settings(notes, cleaning=[step(terms)])
    first, _ = checked_source(config, told.append)
    monkeypatch.setattr(planning, "threshold", forbidden)
    assert checked_source(config, told.append)[0] == first
    assert (
        told
        == ["cleaning: density keeps the best 0.25 of the documents, from 0.75 on, by a sample of 200"] * 2
    )
    terms.write_text("terme1\nterme2\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="found built"):
        checked_source(config, told.append)
    plain = settings(notes, cleaning=[{"name": "length", "least": 3}])
    assert checked_source(plain, told.append)[0] is plain


def test_of_a_large_source_a_sample_decides(
    notes: Path, terms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best, "SAMPLE_CHARACTERS", 5000)
    documents = build_source({"name": "files", "files": [str(notes)]}).documents()
    found = best.threshold([step(terms)], documents)
    assert 0 < found["documents"] < 50
    assert found["least"] == pytest.approx(0.75, abs=0.1)


def test_a_source_of_a_mix_keeps_its_best_share_alone(notes: Path, terms: Path, tmp_path: Path) -> None:
    general = write(tmp_path / "general.jsonl", [f"une phrase générale numéro {n} " * 5 for n in range(60)])
    parts = [
        {"weight": 0.8, "name": "files", "files": [str(notes)], "cleaning": [step(terms)]},
        {"weight": 0.2, "name": "files", "files": [str(general)]},
    ]
    config = settings(notes)
    config.data = {"name": "mix", "sources": parts}
    corpus = built(config)
    clinical, other = corpus.manifest["mix"]
    assert clinical["documents"] == pytest.approx(50 * clinical["passes"], abs=0.01)
    assert other["documents"] >= 60
    (facts,) = corpus.manifest["shaped_by"]["source"]["sources"][0]["cleaning"]
    assert facts["least"] == 0.75
    assert str(terms) not in json.dumps(corpus.manifest["shaped_by"])
    parts[0]["cleaning"] = [step(terms, 0.5)]
    assert built(config).fingerprint != corpus.fingerprint
    parts[0]["cleaning"] = [step(terms, 0.97)]
    assert failure(lambda: built(config)).startswith(
        "data.sources[0]: cleaning.best=0.97: density is above 0 in 95.0%"
    )


def test_a_stream_keeps_the_same_documents(notes: Path, terms: Path) -> None:
    config = configured([notes, write(notes.parent / "b.jsonl", dense(40))], "files")
    config.cleaning = [step(terms)]
    lines: list[str] = []
    corpus = open_online(config, lines.append)
    assert any("from 0.75 on" in line for line in lines)
    assert corpus.manifest["shaped_by"]["cleaning"][0]["least"] == 0.75


def test_mistakes_are_told_with_all_others_before_any_work(terms: Path) -> None:
    steps = f"[{{name:density,files:[{terms}],best:1.5}},{{name:density,files:[{terms}],best:0.1,least:0.2}}]"
    parts = f"[{{weight:1,name:demo,cleaning:[{{name:density,files:[{terms}],best:0}}]}}]"
    found = problems(composed("data=demo", f"cleaning={steps}", "batch.size=0", "budget.steps=1"))
    assert "cleaning.best=1.5: a share of the documents between 0 and 1" in found
    assert "cleaning.best, cleaning.least: one of them, not both" in found
    assert any(problem.startswith("batch.size=0") for problem in found)
    (problem,) = problems(composed("data=mix", f"data.sources={parts}", "budget.steps=1"))
    assert problem == "data.sources[0]: cleaning.best=0: a share of the documents between 0 and 1"


def test_a_sample_to_score_may_be_a_mix_with_a_best_share(terms: Path, notes: Path, tmp_path: Path) -> None:
    part = f"{{weight:1,name:files,files:[{notes}],cleaning:[{{name:density,files:[{terms}],best:0.5}}]}}"
    words = (
        "data=demo",
        "data.documents=300",
        "tokenizer.vocab_size=300",
        "blocks.sequence_length=16",
        "budget.steps=1",
    )
    config = composed(*words, f"evaluation.also=[{{title:dense,name:mix,share:1,sources:[{part}]}}]")
    assert open_corpus(config, join()).also["dense"].manifest["held_out"]["documents"] == 100
