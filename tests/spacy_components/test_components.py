"""Fine-tuned models in spaCy's pipelines: entities, classes, offsets, several texts at once, and saved pipelines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import Doc, DocBin

import bertinchamps.spacy_components  # noqa: F401  # registers the factories, as the entry points of a package do
from bertinchamps.checks.exporting import problems
from bertinchamps.errors import UserError
from bertinchamps.export import export
from bertinchamps.finetune import finetune
from bertinchamps.tasks.formats import spans_jsonl
from support import composed
from test_finetune import QUICK, SCRATCH
from tiny_corpora import documents, opinions

SECRET = "Madame Confidentielle"


@pytest.fixture(scope="module")
def tagger(knows_by_heart: Path) -> Path:
    """A run that knows ten sentences with nested entities by heart."""
    return knows_by_heart


@pytest.fixture(scope="module")
def critic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that classifies opinions."""
    folder = tmp_path_factory.mktemp("critic")
    train = opinions(folder / "train.jsonl", 60)
    words = ["task=classification", f"task.train={train}", *QUICK, *SCRATCH, "optim.learning_rate=3e-3"]
    return finetune(composed(*words, "budget.epochs=20", f"run_dir={folder / 'run'}", command="finetune"))


def pipeline(model: Path | str | None, name: str = "bertinchamps_ner", **settings: Any) -> Any:
    nlp = spacy.blank("fr")
    given = {} if model is None else {"model": str(model)}
    nlp.add_pipe(name, config={"device": "cpu", "precision": "fp32", **given, **settings})
    return nlp


def found(doc: Doc, key: str = "bertinchamps") -> list[tuple[int, int, str]]:
    return sorted((span.start_char, span.end_char, span.label_) for span in doc.spans[key])


def test_entities_nested_ones_and_confidences(tagger: Path) -> None:
    nlp = pipeline(tagger)
    assert nlp.get_pipe("bertinchamps_ner").labels == ("ANAT", "CHEM", "DISO")
    predicted = spans_jsonl.read(tagger / "predictions" / "dev.jsonl")
    gold = documents(10)
    assert [each.entities for each in predicted] == [each.entities for each in gold]
    docs = list(nlp.pipe([each.text for each in gold], batch_size=3))
    for doc, document in zip(docs, gold, strict=True):
        assert found(doc) == sorted((each.start, each.end, each.label) for each in document.entities)
        outermost = [(entity.text, entity.label_) for entity in doc.ents]
        assert [label for _, label in outermost] == ["DISO", "CHEM"]
        assert " du " in outermost[0][0]
        shares = [span._.bertinchamps_confidence for span in doc.spans["bertinchamps"]]
        assert all(0.5 < share <= 1 for share in shares)
        assert doc.spans["bertinchamps"].attrs["scores"] == shares
        assert [entity._.bertinchamps_confidence is not None for entity in doc.ents] == [True, True]
        assert doc[0:1]._.bertinchamps_confidence is None
    alone = nlp(gold[0].text)
    assert found(alone) == found(docs[0])
    (read,) = DocBin(docs=docs[:1], store_user_data=True).get_docs(nlp.vocab)
    assert [span._.bertinchamps_confidence for span in read.spans["bertinchamps"]] == [
        span._.bertinchamps_confidence for span in docs[0].spans["bertinchamps"]
    ]
    assert found(nlp("")) == []


def test_two_labels_of_one_span_have_a_confidence_each() -> None:
    doc = Doc(spacy.blank("fr").vocab, words=["Le", "rein"])
    from bertinchamps.spacy_components.entities import CONFIDENCE

    doc.user_data |= {(CONFIDENCE, 3, 7, "ANAT"): 0.75, (CONFIDENCE, 3, 7, "DISO"): 0.5}
    spans = [doc.char_span(3, 7, label=label) for label in ("ANAT", "DISO", "CHEM")]
    assert [span._.bertinchamps_confidence for span in spans] == [0.75, 0.5, None]


class OneToken:
    """A tokenizer that makes one token of a text."""

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab

    def __call__(self, text: str) -> Doc:
        return Doc(self._vocab, words=[text], spaces=[False])


@pytest.mark.filterwarnings("error")
def test_what_tokens_do_not_hold_is_counted(tagger: Path) -> None:
    text = documents(1)[0].text
    for mode, left in (("strict", "left out"), ("contract", "left out"), ("expand", "moved to whole tokens")):
        nlp = pipeline(tagger, alignment_mode=mode)
        nlp.tokenizer = OneToken(nlp.vocab)
        component = nlp.get_pipe("bertinchamps_ner")
        if mode == "expand":
            doc = nlp(text)
            assert {(start, end) for start, end, _ in found(doc)} == {(0, len(text))}
            assert len(doc.ents) == 1
        else:
            with pytest.warns(UserWarning, match=f"was left out \\(alignment_mode={mode}\\)"):
                doc = nlp(text)
            nlp(text)  # told once
            assert found(doc) == []
        assert component.unaligned == {left: 4 if mode == "expand" else 8}


def test_keys_and_entities_of_other_components(tagger: Path) -> None:
    nlp = pipeline(tagger, spans_key="ours", set_ents=False)
    doc = nlp(documents(1)[0].text)
    assert doc.ents == ()
    assert len(found(doc, "ours")) == 4
    nlp = spacy.blank("fr")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "RULE", "pattern": "cancer"}])
    nlp.add_pipe("bertinchamps_ner", config={"model": str(tagger), "overwrite_ents": False})
    doc = nlp(documents(1)[0].text)
    assert [entity.label_ for entity in doc.ents] == ["RULE", "CHEM"]


def test_a_pipeline_brings_its_model_along(tagger: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tagger / "model", tmp_path / "there")
    nlp = pipeline(moved)
    text = documents(1)[0].text
    expected = found(nlp(text))
    nlp.to_disk(tmp_path / "saved")
    content = nlp.to_bytes()
    shutil.rmtree(moved)
    loaded = spacy.load(tmp_path / "saved")
    assert found(loaded(text)) == expected
    loaded.to_disk(tmp_path / "saved")  # onto itself
    assert found(spacy.load(tmp_path / "saved")(text)) == expected
    other = pipeline(moved)
    with pytest.raises(
        UserError, match=r"bertinchamps_ner: model=.*there: no such directory here, and no model came"
    ):
        other(text)
    assert found(other.from_bytes(content)(text)) == expected


def test_classes_of_texts(critic: Path, tmp_path: Path) -> None:
    nlp = pipeline(critic, "bertinchamps_textcat")
    good, bad = nlp.pipe(["Un très bon livre, 8 pages.", "Un mauvais livre, 9 pages."])
    assert good.cats["good"] > 0.5 > good.cats["bad"]
    assert (good._.bertinchamps_predicted, bad._.bertinchamps_predicted) == ("good", "bad")
    assert sum(bad.cats.values()) == pytest.approx(1, abs=1e-4)
    nlp("Un livre. " * 200)
    assert nlp.get_pipe("bertinchamps_textcat").cut == {"texts": 1}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"alignment_mode": "widen"},
            "bertinchamps_ner: alignment_mode=widen: one of strict, contract, expand",
        ),
        ({"spans_key": ""}, "bertinchamps_ner: spans_key: must not be empty"),
        ({"batch": 0}, "bertinchamps_ner: batch=0: must be at least 1"),
        ({"device": "tpu"}, "bertinchamps_ner: device=tpu: one of auto, cpu, cuda"),
    ],
)
def test_settings_that_are_wrong(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        pipeline(None, **settings)
    assert told in str(caught.value)


def test_models_that_do_not_fit_a_component(tagger: Path, critic: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not find entities .*; bertinchamps_textcat is for classes"):
        pipeline(critic)
    with pytest.raises(
        UserError, match=r"does not predict classes of texts .*; bertinchamps_ner is for entities"
    ):
        pipeline(tagger, "bertinchamps_textcat")
    with pytest.raises(UserError, match=r"model=.*: no model that finetune made"):
        pipeline(tmp_path)
    with pytest.raises(UserError, match="model=None: not given, and none came with the pipeline"):
        pipeline(None)(SECRET)


def test_several_processes_are_refused_in_words(tagger: Path) -> None:
    component = pipeline(tagger).get_pipe("bertinchamps_ner")
    component._process -= 1  # as if another process had made the pipeline
    with pytest.raises(UserError, match="leave n_process at 1 and raise batch_size") as caught:
        component(Doc(spacy.blank("fr").vocab, words=[SECRET]))
    assert SECRET not in str(caught.value)


def test_a_failing_batch_goes_to_the_handler_of_errors(tagger: Path, tmp_path: Path) -> None:
    nlp = pipeline(tagger)
    failed: list[int] = []
    nlp.set_error_handler(lambda name, component, docs, error: failed.append(len(docs)))
    nlp.get_pipe("bertinchamps_ner")._process -= 1
    assert list(nlp.pipe(["a", "b", "c"], batch_size=2)) == []
    assert failed == [2, 1]


# --- python -m bertinchamps.export format=spacy


@pytest.mark.parametrize("package", [False, True])
def test_an_exported_pipeline_opens_where_the_model_is_gone(
    tagger: Path, tmp_path: Path, package: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "format=spacy",
        f"model={tagger}",
        f"output={tmp_path / 'out'}",
        f"format.package={str(package).lower()}",
    ]
    export(composed(*words, command="export"))
    told = capsys.readouterr().err
    assert "compared   3 texts: the same predictions" in told
    place = tmp_path / "out"
    if package:
        assert "spacy.load('fr_ner_corpus_train')" in told
        assert (place / "setup.py").is_file()
        assert '"bertinchamps' in (place / "meta.json").read_text(encoding="utf-8")
        (place,) = (place / "fr_ner_corpus_train").glob("fr_ner_corpus_train-*")
    config = (place / "config.cfg").read_text(encoding="utf-8")
    assert str(tagger) not in config
    assert 'factory = "bertinchamps_ner"' in config
    doc = spacy.load(place)(documents(1)[0].text)
    assert len(found(doc)) == 4


def test_a_classifier_is_exported_and_wrong_settings_are_told(critic: Path, tmp_path: Path) -> None:
    def config(*words: str) -> Any:
        output = f"output={tmp_path / 'out'}"
        return composed("format=spacy", f"model={critic}", output, *words, command="export")

    assert problems(config("format.package_name=a-b")) == [
        "format.package_name=a-b: letters, digits and _ alone, as Python's modules have them"
    ]
    assert problems(config("format.lang=klingon")) == [
        "format.lang=klingon: spaCy has no such language; fr is French"
    ]
    assert problems(config()) == []
    export(config())
    doc = spacy.load(tmp_path / "out")("Un très bon livre, 8 pages.")
    assert doc._.bertinchamps_predicted == "good"
