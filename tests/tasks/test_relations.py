"""Relations from files to scores: candidate pairs, training, prediction with given and with found entities."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertinchamps.checks.finetuning import problems
from bertinchamps.checks.prediction import problems as prediction_problems
from bertinchamps.contract import Entity, RelatedText, Relation
from bertinchamps.errors import UserError
from bertinchamps.finetune import finetune
from bertinchamps.metrics.relations import relation_scores
from bertinchamps.model.encoders import EncoderSource, open_tokenizer, unknown_id
from bertinchamps.model.heads import heads
from bertinchamps.model.heads.relations import HEAD_BEGINS, HEAD_ENDS, TAIL_BEGINS, TAIL_ENDS
from bertinchamps.predict import predict
from bertinchamps.tasks.examples import read_examples
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.formats import brat_relations, relations_jsonl
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.relations import pairs as made_pairs
from bertinchamps.tasks.relations.extraction import _balanced
from bertinchamps.tasks.relations.nearest import labels_of, nearest
from bertinchamps.tasks.relations.pairs import Pair, PairMaker
from bertinchamps.tasks.relations.predictor import RelationPredictor
from bertinchamps.tasks.relations.settings import PairSettings, of_details, of_task
from bertinchamps.tasks.tagging.windows import SubwordTokenizer
from real import real
from support import composed
from test_finetune import QUICK, SCRATCH
from tiny_corpora import linked_cases, of_inception, related, related_corpus, span
from tiny_encoders import FAMILIES, make_encoder

TYPES = (("RML", "EVENT"),)
LEARN = ["max_length=48", "dropout=0", "optim.learning_rate=3e-3", "selection.every_epochs=5", "batch.size=8",
         "batch.micro_batch=8"]  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("relations")
    related_corpus(folder)
    return folder


def words_for(corpus: Path) -> list[str]:
    return ["task=relations", *(f"task.{split}={corpus / split}" for split in ("train", "dev", "test"))]


@pytest.fixture(scope="module")
def tagger(corpus: Path) -> Path:
    """Entities of the same corpus; brat's R lines are passed over."""
    words = ["task=ner", *words_for(corpus)[1:], *QUICK, *SCRATCH, *LEARN, "head=flat", "budget.epochs=30"]
    return finetune(composed(*words, f"run_dir={corpus / 'tagger'}", command="finetune"))


@pytest.fixture(scope="module")
def run(corpus: Path, tagger: Path) -> Path:
    words = [*words_for(corpus), *QUICK, *SCRATCH, *LEARN, "budget.epochs=30", "selection.temperature=true"]
    words.append(f"task.ner={tagger}")
    return finetune(composed(*words, f"run_dir={corpus / 'run'}", command="finetune"))


@pytest.fixture(scope="module")
def tokenizer(run: Path) -> Any:
    return open_tokenizer(str(run / "model"))


@pytest.fixture(scope="module")
def maker(tokenizer: Any) -> Callable[..., PairMaker]:
    def make(longest: int = 64, **settings: Any) -> PairMaker:
        chosen = PairSettings(**{"argument_types": TYPES, **settings})
        return PairMaker(SubwordTokenizer(tokenizer, longest), chosen, unknown_id(tokenizer))

    return make


def test_a_run_learns_relations_and_leaves_brat_and_json_lines(run: Path, corpus: Path) -> None:
    results = json.loads((run / "results.json").read_text("utf-8"))
    scores = results["scores"]["test"]
    assert scores["relations"]["support"] == 8
    assert scores["relations"]["f1"] > 0.7
    assert scores["relations"]["nearest_f1"] == 1.0 or "without a model" in scores["relations"]["remark"]
    assert results["selection"]["metric"] == "f1"
    assert read_facts(run / "model").temperature == results["selection"]["temperature"] > 0
    assert results["data"]["test"]["pairs"] == 16
    folder = run / "predictions"
    assert brat_relations.read_folder(folder / "test" / "gold") == brat_relations.read_folder(corpus / "test")
    found = brat_relations.read_folder(folder / "test" / "brat")
    assert relation_scores(related(4, 16), found)["f1"] == scores["relations"]["f1"]
    assert [each._replace(confidences=None) for each in relations_jsonl.read(folder / "test.jsonl")] == found
    assert "# Errors in" in (folder / "test_errors.md").read_text("utf-8")
    assert "# Errors in" in (folder / "test_end_to_end_errors.md").read_text("utf-8")


def test_end_to_end_scores_are_those_of_the_files(run: Path) -> None:
    scores = json.loads((run / "results.json").read_text("utf-8"))["scores"]["test"]["relations_end_to_end"]
    found = brat_relations.read_folder(run / "predictions" / "test" / "end_to_end")
    again = relation_scores(related(4, 16), found)
    assert (scores["tp"], scores["fp"], scores["fn"]) == (again["tp"], again["fp"], again["fn"])
    assert scores["support"] == 8


def test_predict_gives_the_relations_of_the_evaluation(run: Path, corpus: Path, tmp_path: Path) -> None:
    words = [f"model={run}", "runtime=eager"]
    predict(composed(*words, f"input={corpus / 'test'}", f"output={tmp_path / 'out'}", command="predict"))
    found = brat_relations.read_folder(tmp_path / "out")
    assert found == brat_relations.read_folder(run / "predictions" / "test" / "brat")
    lines = [{**relations_jsonl.as_item(each), "ward": "B2"} for each in related(4, 16)]
    file = tmp_path / "notes.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    predict(composed(*words, f"input={file}", f"output={tmp_path / 'out.jsonl'}", command="predict"))
    assert relations_jsonl.read(tmp_path / "out.jsonl") == found
    assert all(json.loads(line)["ward"] == "B2" for line in (tmp_path / "out.jsonl").open(encoding="utf-8"))
    predict(composed(*words, f"input={file}", f"output={tmp_path / 'out.csv'}", command="predict"))
    header, *rows = (tmp_path / "out.csv").read_text("utf-8").splitlines()
    assert header.startswith(
        "id,entities,relations,ward,relation_type,head_type,head_start,head_end,head_text,"
    )
    assert len(rows) == sum(max(1, len(each.relations)) for each in found)


def test_predict_reads_entities_of_xmi(run: Path, tmp_path: Path) -> None:
    of_inception(tmp_path / "in", related(4, 16))
    words = [f"model={run}", "runtime=eager", "layers=[Span.label]"]
    for place, documents in (("in", related(4, 16)), ("in/note_17.xmi", related(1, 17))):
        out = tmp_path / f"{len(documents)}.jsonl"
        predict(composed(*words, f"input={tmp_path / place}", f"output={out}", command="predict"))
        expected = {each.name: each for each in brat_relations.read_folder(run / "predictions/test/brat")}
        found = relations_jsonl.read(out)
        assert [each.name for each in found] == [each.name for each in documents]
        assert found == [expected[each.name] for each in documents]
    wrong = prediction_problems(
        composed(*words[:2], f"input={tmp_path / 'in'}", "layers=[]", command="predict")
    )
    assert wrong == ["layers: TYPE.FEATURE each, such as [NamedEntity.value], or TYPE"]


def test_predict_finds_entities_first(run: Path, tagger: Path, corpus: Path, tmp_path: Path) -> None:
    words = [f"model={run}", f"ner={tagger}", "runtime=eager", f"input={corpus / 'test'}"]
    predict(composed(*words, f"output={tmp_path / 'out'}", command="predict"))
    found = brat_relations.read_folder(tmp_path / "out")
    assert found == brat_relations.read_folder(run / "predictions" / "test" / "end_to_end")
    with pytest.raises(UserError, match=r"ner=.*: model=.* reads texts, not entities"):
        predict(composed(f"model={tagger}", *words[1:], f"output={tmp_path / 'no'}", command="predict"))
    with pytest.raises(UserError, match="this model does not find entities"):
        predict(composed(words[0], f"ner={run}", *words[2:], f"output={tmp_path / 'no'}", command="predict"))


def test_input_without_entities_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("glucose", "utf-8")
    out = ["runtime=eager", f"model={run}", f"output={tmp_path / 'out'}"]
    with pytest.raises(UserError, match=r"a\.ann is missing, and relations are found between entities"):
        predict(composed(*out, f"input={tmp_path / 'notes'}", command="predict"))
    with pytest.raises(UserError, match=r"no entities in it, and the model finds relations between entities"):
        predict(composed(*out, f"input={tmp_path / 'notes' / 'a.txt'}", command="predict"))


def shown(tokenizer: Any, pair: Pair) -> str:
    """The pair's sequence with its markers, without blanks."""
    marks = {HEAD_BEGINS: "<", HEAD_ENDS: ">", TAIL_BEGINS: "{", TAIL_ENDS: "}"}
    parts = []
    for subword, role in zip(pair.subwords.tolist(), pair.roles.tolist(), strict=True):
        special = subword in tokenizer.all_special_ids
        parts.append(marks[role] if role else "" if special else tokenizer.decode([subword]).replace(" ", ""))
    return "".join(parts)


def test_markers_stand_around_the_words_of_both_arguments(
    maker: Callable[..., PairMaker], tokenizer: Any
) -> None:
    document = related(1, 1)[0]
    found = {(pair.head, pair.tail): pair for pair in maker().pairs(0, document.text, document.entities)}
    assert sorted(found) == [(2, 0), (2, 1), (3, 0), (3, 1)]
    assert shown(tokenizer, found[2, 0]).startswith("Le{glucose}està<1g>et")
    assert shown(tokenizer, found[3, 1]).endswith("la{créatinine}à<8mg>.")  # the sentence alone
    typed, plain = found[2, 0], next(maker(typed_markers=False).pairs(0, document.text, document.entities))
    assert set(typed.types[typed.roles > 0].tolist()) == {1, 2}
    assert not plain.types.any()


def test_nested_arguments_have_nested_markers(maker: Callable[..., PairMaker], tokenizer: Any) -> None:
    text = "Le glucose est à 5 g."
    inside = (Entity("EVENT", (span(text, "glucose est à 5 g"),)), Entity("RML", (span(text, "5 g"),)))
    [pair] = maker().pairs(0, text, inside)
    assert shown(tokenizer, pair) == "Le{glucoseestà<5g>}."
    same = (Entity("EVENT", (span(text, "5 g"),)), Entity("RML", (span(text, "5 g"),)))
    [pair] = maker().pairs(0, text, same)
    assert shown(tokenizer, pair) == "Leglucoseestà<{5g}>."


def test_text_that_looks_like_a_marker_is_text(maker: Callable[..., PairMaker], tokenizer: Any) -> None:
    text = "Le [E1] glucose [/E1] [MASK] [SEP] est à 5 g."
    entities = (Entity("EVENT", (span(text, "glucose"),)), Entity("RML", (span(text, "5 g"),)))
    [pair] = maker().pairs(0, text, entities)
    assert sorted(pair.roles[pair.roles > 0].tolist()) == [1, 2, 3, 4]
    inside = pair.subwords[(pair.roles == 0)][1:-1]
    assert not set(inside.tolist()) & (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})


def test_the_window_is_a_sentence_or_a_number_of_words(maker: Callable[..., PairMaker]) -> None:
    text = "Le glucose est dosé. Il est à 5 g."
    entities = (Entity("EVENT", (span(text, "glucose"),)), Entity("RML", (span(text, "5 g"),)))
    relation = [Relation("PERTAINS", 1, 0)]
    for window, reason in ((None, made_pairs.APART), (5, made_pairs.APART), (6, None)):
        own = maker(window=window)
        assert own.why_not(text, entities, relation) == [reason]
        assert [pair.between for pair in own.pairs(0, text, entities)] == ([] if reason else [6])
    assert maker().why_not(text, entities, [Relation("X", 0, 1)]) == [made_pairs.OTHER_TYPES]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(16, 40))
def test_a_pair_fits_the_model_or_says_why_not(
    maker: Callable[..., PairMaker], before: int, between: int, behind: int, longest: int
) -> None:
    text = "mot " * before + "glucose " + "et " * between + "5 g" + " fin" * behind
    start = 4 * before + 8 + 3 * between
    entities = (Entity("EVENT", ((4 * before, 4 * before + 7),)), Entity("RML", ((start, start + 3),)))
    own = maker(longest)
    [reason] = own.why_not(text, entities, [Relation("PERTAINS", 1, 0)])
    found = list(own.pairs(0, text, entities))
    assert len(found) == (reason is None)
    assert reason in (None, made_pairs.TOO_LONG)
    for pair in found:
        assert len(pair.subwords) == len(pair.roles) == len(pair.types) <= longest
        assert sorted(pair.roles[pair.roles > 0].tolist()) == [1, 2, 3, 4]


def test_negatives_are_subsampled_in_train_alone() -> None:
    targets = np.array([0, 1, 0, 0, 2, 0, 0, 0])
    assert _balanced(targets, None, 0).tolist() == list(range(8))
    chosen = _balanced(targets, 1.0, 0).tolist()
    assert chosen == sorted(chosen)
    assert {1, 4} < set(chosen)
    assert len(chosen) == 4
    assert len({tuple(_balanced(targets, 1.0, seed).tolist()) for seed in range(8)}) > 1


def test_the_nearest_entity_of_an_allowed_type(maker: Callable[..., PairMaker]) -> None:
    documents = related(3)
    found = [
        pair for at, each in enumerate(documents) for pair in maker().pairs(at, each.text, each.entities)
    ]
    linked = nearest(documents, found, labels_of(documents))
    assert relation_scores(documents, linked)["predicted"] == 6
    near = related(1, 1)  # "glucose est à 1 g et la créatinine à 8 mg"
    [linked_near] = nearest(near, list(maker().pairs(0, near[0].text, near[0].entities)), labels_of(near))
    assert linked_near.relations == near[0].relations


def test_settings_survive_task_json(run: Path) -> None:
    chosen = of_task({"name": "relations", "window": 5, "negatives": 2.0}, related(2))
    assert chosen.argument_types == TYPES
    assert of_details(json.loads(json.dumps(chosen.as_details()))) == chosen
    written = json.loads((run / "model" / "task.json").read_text("utf-8"))
    assert written["details"]["argument_types"] == [["RML", "EVENT"]]


def test_markers_and_head_are_saved_and_the_encoder_keeps_its_vocabulary(run: Path, tokenizer: Any) -> None:
    source = EncoderSource(str(run / "model"), with_head=True)
    model = heads.build("relations", source=source, classes=("no relation", "PERTAINS"), types=2).eval()
    assert len(tokenizer) == len(open_tokenizer(str(run / "tokenizer")))
    ids = torch.full((1, 9), unknown_id(tokenizer))
    roles = torch.tensor([[0, 1, 0, 2, 0, 3, 0, 4, 0]])
    with torch.no_grad():
        first = model({"input_ids": ids}, roles, torch.zeros_like(roles))
        swapped = model({"input_ids": ids}, (5 - roles) * (roles > 0), torch.zeros_like(roles))
        masked = ids.masked_fill(roles > 0, tokenizer.pad_token_id)
        again = model({"input_ids": masked}, roles, torch.zeros_like(roles))
    assert not torch.allclose(first, swapped)
    assert torch.equal(first, again)  # ids at the places of markers are not read
    from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification

    with pytest.raises(ValueError, match="the model has a head of relations"):
        BertinchampsForSequenceClassification.from_pretrained(run / "model")


@pytest.mark.parametrize("family", FAMILIES)
def test_any_encoder_reads_markers(family: str, tmp_path: Path) -> None:
    folder = make_encoder(family, tmp_path / family)
    tokenizer = open_tokenizer(str(folder))
    maker = PairMaker(
        SubwordTokenizer(tokenizer, 64), PairSettings(argument_types=TYPES), unknown_id(tokenizer)
    )
    predictor = RelationPredictor(
        maker,
        PairSettings(argument_types=TYPES),
        ("PERTAINS",),
        tokenizer.pad_token_id,
        3,
        torch.device("cpu"),
    )
    classes = ("no relation", "PERTAINS")
    model = heads.build("relations", source=EncoderSource(str(folder)), classes=classes, types=2).eval()
    found = list(predictor.pairs(related(4)))
    logits = predictor.logits(model, found)
    alone = np.concatenate([predictor.logits(model, [pair]) for pair in found])
    assert np.abs(logits - alone).max() < 1e-4  # padding changes nothing
    assert len({row.tobytes() for row in logits}) > len(found) // 2  # markers are read


def test_an_unknown_type_of_dev_is_named_with_file_and_line(corpus: Path, tmp_path: Path) -> None:
    dev = related(2, 40)
    odd = dev[0]._replace(relations=(*dev[0].relations, Relation("VOISIN", 2, 1)))
    relations_jsonl.write(tmp_path / "dev.jsonl", [dev[1], odd])
    words = ["task=relations", f"task.train={corpus / 'train'}", f"task.dev={tmp_path / 'dev.jsonl'}"]
    examples = read_examples(composed(*words, command="finetune"))
    assert examples.labels == ("PERTAINS",)
    [remark] = [each for each in examples.remarks if "first relation of a type" in each]
    assert remark.startswith(f"{tmp_path / 'dev.jsonl'}: line 2: relations[")
    assert "VOISIN" not in remark


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (
            "task.window=-1",
            "task.window=-1: words between two arguments, 0 or more; null: both in one sentence",
        ),
        ("task.negatives=0", "task.negatives=0: pairs without a relation for each pair with one, above zero"),
        ("task.ner=nowhere", "task.ner=nowhere: no model that finetune made"),
        ("task.train=a.conll", "task.train=a.conll: no such file or folder"),
        ("selection.metric=accuracy", "selection.metric=accuracy: no dev score of this task"),
    ],
)
def test_wrong_settings_are_refused(setting: str, told: str, corpus: Path) -> None:
    words = ["task=relations", f"task.train={corpus / 'train'}", "model=scratch", setting]
    found = problems(composed(*words, command="finetune"))
    assert any(each.startswith(told) for each in found), found


def test_dev_without_relations_is_refused(corpus: Path) -> None:
    dev = [RelatedText("a", "rien", (), ())]
    kind: Any = read_examples(
        composed("task=relations", f"task.train={corpus / 'train'}", command="finetune")
    ).kind
    assert (
        "no relation in the dev split"
        in kind.example_problems({"train": related(3), "dev": dev}, ("PERTAINS",))[0]
    )


def test_e3c_is_divided_as_its_entities_are(tmp_path: Path) -> None:
    linked_cases(tmp_path, 5)
    reader = readers.build("e3c_relations", path=str(tmp_path))
    reader.check()
    splits: Any = reader.read()
    names = {split: [case.name for case in cases] for split, cases in splits.items()}
    assert names == {"train": ["FR100101", "FR100102"], "dev": ["FR100100"], "test": ["FR100103", "FR100104"]}
    assert {case.relations for cases in splits.values() for case in cases} == {(Relation("PERTAINS", 1, 0),)}
    with pytest.raises(
        UserError, match=r"task\.links: EVENT\.TLINK links annotations of a type that is not in task\.types"
    ):
        readers.build("e3c_relations", path=".", types=["RML"], links=["EVENT.TLINK"])


@pytest.mark.real_data
def test_the_links_of_the_official_release_are_read_as_files_of_a_user(tmp_path: Path) -> None:
    with zipfile.ZipFile(real("labelled") / "e3c_fr_annotated.zip") as archive:
        for name in archive.namelist():
            if "data_annotation/French/layer1/" in name and name.endswith(".xml"):
                (tmp_path / f"{Path(name).stem}.xmi").write_bytes(archive.read(name))
    reader = readers.build(
        "relations", train=str(tmp_path), layers=["RML", "EVENT"], links=["RML.PERTAINSTO"]
    )
    reader.check()
    own: Any = reader.read()["train"]
    official: Any = readers.build("e3c_relations", path=str(real("labelled") / "e3c_fr_annotated.zip")).read()
    every = [case for cases in official.values() for case in cases]
    assert own == sorted(every, key=lambda case: case.name)
    assert sum(len(case.relations) for case in own) == 474


@pytest.mark.real_data
def test_the_links_of_the_official_release() -> None:
    path = str(real("labelled") / "e3c_fr_annotated.zip")
    splits: Any = readers.build("e3c_relations", path=path).read()
    counts = [sum(len(case.relations) for case in cases) for cases in splits.values()]
    assert counts == [184, 107, 183]
    assert sum(counts) == 474
    assert all(
        (case.entities[head].label, case.entities[tail].label) == ("RML", "EVENT")
        for cases in splits.values() for case in cases for _, head, tail in case.relations
    )  # fmt: skip
