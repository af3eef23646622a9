"""Text of test files in a corpus: found, dropped or cut, counted, and remembered with the corpus."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cluster import InTurn
from test_corpus import built, failure, sentences, settings, write

from bertinchamps.contract import Document
from bertinchamps.data import cluster as cluster_module
from bertinchamps.data import pretraining_facts
from bertinchamps.data.checks import corpus_problems
from bertinchamps.data.cleaning import cleaner, cleaning_problems
from bertinchamps.data.cleaning.cleaner import clean
from bertinchamps.data.cleaning.counts import Count
from bertinchamps.data.cleaning.overlap import overlap_facts
from bertinchamps.data.cluster import prepare_on_cluster
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.line_sets import Index, digest_of, lines_of, words_of
from bertinchamps.data.online import open_online
from bertinchamps.data.planning import build_source, plan_corpus
from bertinchamps.data.prepared import export_corpus
from bertinchamps.data.pretraining_facts import in_a_cell, in_a_sentence, seen
from bertinchamps.data.statistics import report
from bertinchamps.schemas import PrepareConfig
from real import real

LONG = (
    "Si vous avez pris plus de ce médicament que vous n'auriez dû , parlez-en à votre médecin ou pharmacien ."
)
TITLE = "Traitement chirurgical des métastases hépatiques du cancer du côlon"  # 9 words
FEW = "Échocardiographie transoesophagienne peropératoire"  # 3 words of 49 letters
HEADING = "Que contient ce médicament ?"
TEST = [LONG, TITLE, FEW, HEADING]
OTHER = (
    "Le patient présente une douleur du genou droit depuis hier soir , sans fièvre ni traumatisme récent ."
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "test.txt"
    path.write_text("\n".join(TEST), encoding="utf-8")
    return str(path)


def run(texts: list[str], file: str, **step: Any) -> tuple[list[str], Count, dict[str, Any]]:
    nodes = [{"name": "overlap", "files": [file], **step}]
    documents, counts = clean((Document(text, "") for text in texts), nodes)
    kept = [document.text for document in documents]
    facts = overlap_facts(nodes, counts)["overlap"][0]
    return kept, counts[0], facts["sets"][0]


# ------------------------------------------------------------------------------------------ what is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LONG, True),
        (f"Avant. {LONG} Après.", True),
        (" ".join(LONG.split()[2:16]), True),  # 13 words of it
        (" ".join(words_of(LONG)[:12]), False),  # 12 words of it
        (TITLE, True),
        (f"Voir : {TITLE.upper()} (2014).", True),
        (TITLE.replace(" ", ",\n "), True),  # over line ends, with other punctuation
        (unicodedata.normalize("NFD", TITLE), True),
        (TITLE.replace("é", "e").replace("ô", "o"), False),  # accents count
        (" ".join(TITLE.split()[:8]), False),  # a line below 13 words is found as a whole
        (FEW, True),
        (HEADING, False),  # too short to tell
        (OTHER, False),
        ("", False),
    ],
)
def test_lines_are_found_by_their_words(text: str, found: bool, file: str) -> None:
    kept, count, facts = run([text], file)
    assert (kept, count.dropped) == (([], {"shares text with test files": 1}) if found else ([text], {}))
    assert facts["lines_found"] == facts["documents"] == int(found)


WORDS = st.lists(st.sampled_from("abc"), max_size=40)


@given(st.lists(WORDS, max_size=4), WORDS)
def test_the_index_finds_what_comparing_all_windows_finds(lines: list[list[str]], text: list[str]) -> None:
    index = Index({"test": [" ".join(line) for line in lines]}, ngram=10)
    hits = index.find(text)
    found = set() if hits is None else set(zip(hits.starts.tolist(), hits.lengths.tolist(), strict=True))
    expected = set()
    for line in lines:
        length = min(10, len(line))
        if len(line) >= 8:
            windows = {tuple(line[start : start + length]) for start in range(len(line) - length + 1)}
            places = range(len(text) - length + 1)
            expected |= {
                (place, length) for place in places if tuple(text[place : place + length]) in windows
            }
    assert found == expected


# -------------------------------------------------------------------------------------------- what is done


def test_cut_takes_lines_and_sentences_out_and_keeps_the_rest(file: str) -> None:
    text = f"{OTHER}\n{LONG}\nUne autre phrase. {TITLE}. Et la fin."
    kept, count, facts = run([text, LONG, OTHER], file, action="cut")
    assert kept == [f"{OTHER}\nUne autre phrase. Et la fin.", OTHER]
    assert count.dropped == {"nothing but text of test files": 1}
    assert (count.mended, facts["documents"], facts["document_lines"], facts["lines_left"]) == (1, 2, 3, 0)


def test_cut_takes_all_lines_out_over_which_an_ngram_goes(file: str) -> None:
    half = LONG.index("vous n")
    kept, _, facts = run([f"{OTHER}\n{LONG[:half]}\n{LONG[half:]}\nFin."], file, action="cut")
    assert kept == [f"{OTHER}\nFin."]
    assert facts["document_lines"] == 2


def test_count_changes_nothing_and_tells_what_is_left(file: str) -> None:
    texts = [f"{OTHER}\n{LONG}", OTHER, " ".join(LONG.split()[2:16])]
    kept, count, facts = run(texts, file, action="count")
    assert kept == texts
    assert (count.mended, count.dropped) == (0, {})
    assert facts["lines_found"] == facts["lines_left"] == facts["lines_whole"] == 1


def test_a_document_is_dropped_from_least_ngrams_and_from_a_share_of_its_words(file: str) -> None:
    part = " ".join(words_of(LONG)[:14])  # two n-grams of 13 words
    assert run([part], file, least=3)[0] == [part]
    assert run([part], file, least=2)[0] == []
    long = f"{OTHER} {OTHER} {part}"
    assert run([long], file, share=0.5)[0] == [long]
    assert run([long], file, share=0.2)[0] == []
    _, _, facts = run([part], file, least=3)
    assert (facts["lines_found"], facts["lines_left"], facts["lines_whole"]) == (1, 1, 0)


def test_every_set_has_counts_of_its_own(file: str, tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", [OTHER, TITLE])
    nodes = [{"name": "overlap", "files": [file, str(other)], "action": "count"}]
    documents, counts = clean((Document(text, "") for text in [TITLE, OTHER, f"{TITLE}\n{TITLE}"]), nodes)
    assert len(list(documents)) == 3
    first, second = overlap_facts(nodes, counts)["overlap"][0]["sets"]
    assert (first["name"], second["name"]) == ("test.txt", "other.jsonl")
    assert (first["lines"], first["short_lines"], first["lines_found"]) == (3, 1, 1)
    assert (first["documents"], first["document_lines"], first["ngrams_found"]) == (2, 3, 1)
    assert (second["lines"], second["lines_found"], second["documents"]) == (2, 2, 3)


def test_counts_survive_json_and_add_up(file: str) -> None:
    _, first, _ = run([LONG], file)
    _, second, _ = run([TITLE, TITLE], file)
    both = Count.of(json.loads(json.dumps(first.facts())))
    both.join(Count.of(json.loads(json.dumps(second.facts()))))
    _, whole, _ = run([LONG, TITLE, TITLE], file)
    assert both == whole
    assert "marks" not in Count("length").facts()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": "remove"}, "cleaning.action=remove: one of drop, cut, count"),
        ({"ngram": 5}, "cleaning.ngram=5: must be at least 8"),
        ({"least": 0}, "cleaning.least=0: must be at least 1"),
        ({"share": 1.5}, "cleaning.share=1.5"),
        ({"action": "cut", "share": 0.5}, "for action=drop alone"),
        ({"files": []}, "no file is given"),
        ({"files": "test.txt"}, "must be a list of texts"),
        ({"files": ["absent.txt"]}, "cleaning.files: absent.txt: no such file"),
    ],
)
def test_mistakes_in_the_settings_are_reported(changes: dict[str, Any], message: str, file: str) -> None:
    [problem] = cleaning_problems([{"name": "overlap", "files": [file], **changes}])
    assert message in problem


# ------------------------------------------------------------------------------------------ in a corpus


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PrepareConfig:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))
    texts = sentences(200)
    notes = write(tmp_path / "notes.jsonl", [*texts, texts[3] + "\n" + TITLE, LONG])
    test = write(tmp_path / "test.jsonl", [texts[0], texts[1], TITLE, "x " * 20])
    return settings(notes, cleaning=[{"name": "overlap", "files": [str(test)], "action": "cut"}])


def test_a_corpus_tells_what_was_found(config: PrepareConfig, tmp_path: Path) -> None:
    corpus = built(config)
    [step] = corpus.manifest["overlap"]
    [found] = step["sets"]
    assert (found["lines"], found["lines_found"], found["lines_left"]) == (4, 3, 0)
    assert found["documents"] == 3
    [line] = [line for line in corpus.lines() if "lines of" in line]
    assert "3 of 4 lines of test.jsonl found" in line
    report(corpus, iter([Document("texte", "")]), tmp_path / "page.html", lambda _: None)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Text of test files" in page
    assert "3 of 4" in page
    assert "overlap" not in built(settings(tmp_path / "notes.jsonl")).manifest


def test_the_fingerprint_has_the_content_of_the_files_and_not_their_place(
    config: PrepareConfig, tmp_path: Path
) -> None:
    def name(node: dict[str, Any]) -> str:
        moved = settings(tmp_path / "notes.jsonl", cleaning=[node])
        return plan_corpus(moved, lambda _: None).folder.name

    [node] = config.cleaning
    first = name(node)
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "copy.jsonl"
    copy.write_bytes((tmp_path / "test.jsonl").read_bytes())
    assert name({**node, "files": [str(copy)]}) == first
    assert name({**node, "ngram": 10}) != first
    write(copy, sentences(3, seed=5))
    assert name({**node, "files": [str(copy)]}) != first
    corpus = built(settings(tmp_path / "notes.jsonl", cleaning=[{**node, "files": [str(copy)]}]))
    assert corpus.manifest["overlap"][0]["sets"][0]["lines"] == 3  # and the new content is what is looked for


def test_any_number_of_processes_and_tasks_finds_the_same(
    config: PrepareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = built(config).manifest
    config.cleaning.append({"name": "exact_duplicates"})
    config.blocks.workers = 1
    one = built(config).manifest
    assert one["overlap"] == whole["overlap"]
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cluster"))
    monkeypatch.setattr(cluster_module.executors, "build", lambda name, **arguments: InTurn(3))
    corpus = prepare_on_cluster(config, {"name": "in_turn"}, lambda _: None)
    assert isinstance(corpus, Corpus)
    assert (corpus.manifest["overlap"], corpus.manifest["cleaning"]) == (one["overlap"], one["cleaning"])
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "processes"))
    monkeypatch.setattr(cleaner, "ALONE", 1_000)
    monkeypatch.setattr(cleaner, "DOCUMENTS_AT_ONCE", 50)
    config.blocks.workers = 2
    assert built(config).manifest["cleaning"] == one["cleaning"]


def test_a_mix_is_measured_as_a_whole(config: PrepareConfig) -> None:
    part = {**config.data, "weight": 1.0}
    config.data = {"name": "mix", "sources": [part]}
    assert corpus_problems(config) == []
    config.data["sources"] = [{**part, "cleaning": config.cleaning}]
    assert any("overlap counts nothing here" in problem for problem in corpus_problems(config))


def test_an_export_takes_what_was_found_along(config: PrepareConfig, tmp_path: Path) -> None:
    corpus = built(config)
    export_corpus(corpus, config, tmp_path / "export", lambda _: None)
    opening = PrepareConfig(
        data={"name": "prepared", "folder": str(tmp_path / "export")}, blocks=config.blocks
    )
    (tmp_path / "test.jsonl").unlink()
    assert built(opening).manifest["overlap"] == corpus.manifest["overlap"]


def test_a_stream_is_cleaned_and_not_counted(config: PrepareConfig) -> None:
    config.data["online"] = True
    manifest = open_online(config, lambda _: None).manifest
    [found] = manifest["overlap"][0]["sets"]
    assert found["lines"] == 4
    assert "lines_found" not in found


def test_a_file_that_cannot_be_read_is_told_without_a_text(config: PrepareConfig, tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"texte": "Confidentielle"}\n', encoding="utf-8")
    assert "no text under the key 'text'" in failure(lambda: built(config))


# --------------------------------------------------------------------------------------- the model's facts


def facts_of(text: str, file: str, **step: Any) -> dict[str, Any]:
    nodes = [{"name": "overlap", "files": [file], **step}]
    documents, counts = clean(iter([Document(text, "")]), nodes)
    list(documents)
    return pretraining_facts.pretraining_facts("corpus", overlap_facts(nodes, counts), "mlm", {"steps": 1})


@pytest.mark.parametrize(
    ("text", "step", "cell", "sentence"),
    [
        (OTHER, {}, "0 of 3 lines", "did not see the text of test: measured, 0 of 3 lines"),
        (LONG, {"action": "cut"}, "0 of 3 lines (1 cut)", "1 of 3 lines were found and cut before"),
        (LONG, {}, "0 of 3 lines (1 dropped)", "1 of 3 lines were found and dropped before"),
        (LONG, {"action": "count"}, "1 of 3 lines", "pretraining saw 1 of 3 lines of test (measured)"),
    ],
)
def test_facts_say_whether_pretraining_saw_a_split(
    text: str, step: dict[str, Any], cell: str, sentence: str, file: str, tmp_path: Path
) -> None:
    pretraining_facts.write_facts(facts_of(text, file, **step), tmp_path)
    facts = pretraining_facts.read_facts(str(tmp_path))
    fact = seen(facts, reversed([line + "  " for line in TEST]))  # order and blanks do not matter
    assert in_a_cell(fact) == cell
    assert sentence in in_a_sentence(fact, "test")
    other = seen(facts, TEST[:3])
    assert (other, in_a_cell(other)) == ({"measured": False}, "not measured")


@pytest.mark.parametrize("key", pretraining_facts.BEGAN_AS)
def test_a_model_that_began_as_another_saw_what_that_one_saw(key: str, file: str) -> None:
    clean_text, saw = facts_of(OTHER, file), facts_of(LONG, file, action="count")
    assert in_a_cell(seen({**clean_text, key: {"model": "camembert"}}, TEST)) == "not measured"
    assert in_a_cell(seen({**clean_text, key: clean_text}, TEST)) == "0 of 3 lines"
    both = seen({**clean_text, key: saw}, TEST)
    assert in_a_cell(both) == "at least 1 of 3 lines"
    assert "pretraining saw at least 1 of 3 lines of test" in in_a_sentence(both, "test")
    assert (
        in_a_cell(seen({**clean_text, key: {**clean_text, "grown_from": saw}}, TEST))
        == "at least 1 of 3 lines"
    )


def test_earlier_models_name_no_files_either(file: str) -> None:
    facts = {**facts_of(LONG, file), "continued_from": {"model": "base", **facts_of(LONG, file)}}
    nameless = pretraining_facts.without_names(facts)
    assert Path(file).name in str(facts)
    assert Path(file).name not in str(nameless)
    assert seen(nameless, TEST) == seen(facts, TEST)


def test_without_facts_nothing_is_claimed(tmp_path: Path) -> None:
    assert pretraining_facts.read_facts(str(tmp_path)) is None
    assert pretraining_facts.read_facts("almanach/camembert-base") is None
    for damage in ("", "[]", '{"format": 99, "overlap": []}', '{"format": 1}'):
        (tmp_path / pretraining_facts.FILE).write_text(damage, encoding="utf-8")
        assert pretraining_facts.read_facts(str(tmp_path)) is None
    assert in_a_cell(seen(None, TEST)) == "not measured"
    assert in_a_cell(None) == "not measured"


def test_a_stream_is_said_not_to_be_measured(file: str) -> None:
    nodes = [{"name": "overlap", "files": [file]}]
    facts = pretraining_facts.pretraining_facts("corpus", overlap_facts(nodes, None), "mlm", {})
    fact = seen(facts, TEST)
    assert in_a_cell(fact) == "not measured (dropped in the stream)"


def test_a_digest_knows_lines_and_tells_no_word() -> None:
    digest = digest_of(lines_of(TEST))
    assert digest == digest_of(lines_of(["\n".join(reversed(TEST)), TEST[0]]))
    assert digest != digest_of(lines_of(TEST[1:]))
    assert len(digest) == 32


@pytest.mark.real_data
def test_leaflets_hold_set_phrases_of_the_test_split_of_emea() -> None:
    leaflets = real("fr_text") / "e3c_fr_layer3.jsonl.zst"
    quaero = real("quaero") / "QUAERO_FrenchMed_brat.zip"
    nodes = [{"name": "overlap", "files": [f"{quaero}::test/EMEA/*.txt"], "action": "cut"}]
    source = build_source({"name": "files", "files": [str(leaflets)]})
    documents, counts = clean(source.sample(5_000_000), nodes)
    assert sum(1 for _ in documents) > 100
    [found] = overlap_facts(nodes, counts)["overlap"][0]["sets"]
    assert 0 < found["lines_whole"] <= found["lines_found"] < found["lines"] / 4
    assert found["lines_left"] == 0
    assert found["document_lines"] >= found["documents"] > 0
