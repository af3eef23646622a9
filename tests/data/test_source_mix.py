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
    third = manifest["mix"][2]
    assert third["documents"] == pytest.approx(30 * third["passes"], abs=0.01)
    assert third["passes"] % 1 > 0
    assert sum(entry["share"] for entry in manifest["mix"]) == pytest.approx(1, abs=1e-3)
    config.cleaning = [{"name": "exact_duplicates"}]
    (problem,) = corpus_problems(config)
    assert "exact_duplicates would undo the up-sampling" in problem


def test_shares_that_move_begin_and_end_where_they_should(parts: list[dict[str, Any]]) -> None:
    moving = [{**parts[0], "weight": [0.0, 1.0]}, {**parts[1], "weight": [1.0, 0.0]}]
    assert sources.problems("mix", {"sources": moving, "characters": 60_000}) == []
    mix = sources.build("mix", sources=moving, characters=60_000)
    documents = list(mix.documents())
    texts = [document.text for document in documents]
    assert sum(map(len, texts)) == pytest.approx(60_000, abs=300)

    def clinical(part: list[str]) -> float:
        return sum(len(text) for text in part if text.startswith("clinical")) / sum(map(len, part))

    before, read, tenths = 0, 0, [0.0] * 10
    for number in range(10):
        while read < len(texts) and sum(map(len, texts[:read])) < 6_000 * (number + 1):
            read += 1
        tenths[number], before = clinical(texts[before:read]), read
    assert tenths == pytest.approx([0.05 + 0.1 * number for number in range(10)], abs=0.06)
    (_, general) = mix.report()["mix"]
    assert general["weight"] == [1.0, 0.0]
    behind = documents[len(documents) // 2].place
    again = sources.build("mix", sources=moving, characters=60_000).documents(behind)
    assert [document.text for document in again] == texts[len(documents) // 2 + 1 :]


def test_a_mix_ends_after_the_characters_that_were_asked_for(parts: list[dict[str, Any]]) -> None:
    read = sum(
        len(document.text) for document in sources.build("mix", sources=parts, characters=9e4).documents()
    )
    assert read == pytest.approx(9e4, abs=300)
    plain, shorter = (sources.build("mix", sources=parts, characters=length) for length in (None, 9e4))
    assert plain.fingerprint() != shorter.fingerprint()
    assert "characters" not in plain.fingerprint()


def test_shares_that_cannot_move_are_told(parts: list[dict[str, Any]]) -> None:
    wrong = [{**parts[0], "weight": [0.5]}, {**parts[1], "weight": [0, -1]}]
    found = sources.problems("mix", {"sources": wrong, "characters": 0})
    assert [problem.split(":")[0] for problem in found] == [
        "data.characters=0", "data.sources[0].weight=[0.5]", "data.sources[1].weight=[0, -1]",
    ]  # fmt: skip
    ending = [{**each, "weight": [1, 0]} for each in parts]
    found = sources.problems("mix", {"sources": ending})
    assert [problem.split(":")[0] for problem in found] == ["data.characters", "data.sources"]
    assert found[1].endswith("above 0 at the end of the mix")


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
