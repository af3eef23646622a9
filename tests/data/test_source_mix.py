"""A mix keeps its shares everywhere in the stream, reads every source to its end, and is the same every time."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.data.checks import corpus_problems
from bertinchamps.data.preparation import prepare
from bertinchamps.data.sources import sources
from bertinchamps.errors import UserError
from bertinchamps.schemas import BlocksConfig, PrepareConfig, TokenizerConfig


def file(folder: Path, name: str, count: int, words: int = 10) -> str:
    path = folder / f"{name}.jsonl"
    texts = (f"{name} {number} " + "mot " * words for number in range(count))
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


def part(weight: float, path: str, **settings: Any) -> dict[str, Any]:
    return {"weight": weight, "name": "files", "files": [path], **settings}


@pytest.fixture
def parts(tmp_path: Path) -> list[dict[str, Any]]:
    return [part(0.3, file(tmp_path, "clinical", 20)), part(0.7, file(tmp_path, "general", 300, words=40))]


def test_shares_hold_everywhere_and_all_of_every_source_is_read(parts: list[dict[str, Any]]) -> None:
    mix = sources.build("mix", sources=parts)
    texts = [document.text for document in mix.documents()]
    for end in (len(texts) // 4, len(texts) // 2, len(texts)):
        characters = Counter[str]()
        for text in texts[:end]:
            characters[text.split()[0]] += len(text)
        assert characters["clinical"] / characters.total() == pytest.approx(0.3, abs=0.02)
    assert len({text for text in texts if text.startswith("general")}) == 300
    repeated = Counter(text for text in texts if text.startswith("clinical"))
    assert len(repeated) == 20
    assert max(repeated.values()) - min(repeated.values()) <= 1
    clinical, general = mix.report()["mix"]
    assert clinical["passes"] > 1
    assert general["passes"] == 1
    assert clinical["share"] == pytest.approx(0.3, abs=0.02)
    assert texts == [document.text for document in mix.documents()]


def test_a_corpus_of_a_mix_reports_its_shares_and_cleans_each_source(
    parts: list[dict[str, Any]], tmp_path: Path
) -> None:
    copies = file(tmp_path, "copies", 30)
    Path(copies).write_text(Path(copies).read_text(encoding="utf-8") * 3, encoding="utf-8")
    parts.append(part(0.2, copies, cleaning=[{"name": "exact_duplicates"}]))
    config = PrepareConfig(
        data={"name": "mix", "sources": parts},
        tokenizer=TokenizerConfig(vocab_size=200, min_frequency=1),
        blocks=BlocksConfig(sequence_length=8, held_out_share=0.2, cache_dir=str(tmp_path / "cache")),
    )
    assert corpus_problems(config) == []
    manifest = prepare(config, lambda line: None).manifest
    assert [entry["source"] for entry in manifest["mix"]] == ["files"] * 3
    assert manifest["mix"][2]["documents"] <= 30 * manifest["mix"][2]["passes"]
    assert sum(entry["share"] for entry in manifest["mix"]) == pytest.approx(1, abs=1e-3)
    config.cleaning = [{"name": "exact_duplicates"}]
    (problem,) = corpus_problems(config)
    assert "exact_duplicates would undo the up-sampling" in problem


def test_the_sample_has_the_shares_too(parts: list[dict[str, Any]]) -> None:
    characters = Counter[str]()
    for document in sources.build("mix", sources=parts).sample(3000):
        characters[document.text.split()[0]] += len(document.text)
    assert characters["clinical"] / characters.total() == pytest.approx(0.3, abs=0.05)


def test_all_mistakes_of_all_sources_are_reported(parts: list[dict[str, Any]], tmp_path: Path) -> None:
    wrong = [{**parts[0], "weight": 0}, {"name": "filse", "weight": 1}, {"name": "mix", "weight": 1}]
    found = sources.problems("mix", {"sources": wrong})
    assert [problem.split(":")[0] for problem in found] == [
        "data.sources[0].weight=0", "data.sources[1]", "data.sources[2]",
    ]  # fmt: skip
    assert sources.problems("mix", {"sources": ["a.txt"]})[0].startswith("data.sources: a list of sources")
    with pytest.raises(UserError, match=r"data\.sources: no source is given"):
        sources.build("mix", sources=[]).check()
    missing = [part(1, str(tmp_path / "no.jsonl")), part(1, str(tmp_path / "none.jsonl"))]
    with pytest.raises(UserError, match=r"(?s)data\.sources\[0\].*data\.sources\[1\]"):
        sources.build("mix", sources=missing).check()


def test_a_source_that_its_cleaning_empties_is_named(parts: list[dict[str, Any]]) -> None:
    parts[0]["cleaning"] = [{"name": "length", "least": 10_000}]
    with pytest.raises(UserError, match=r"data\.sources\[0\]: no document"):
        list(sources.build("mix", sources=parts).documents())
