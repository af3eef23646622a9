"""Our entities in EDS-NLP's pipelines, qualified by its components: negation, family, hypothesis.

EDS-NLP is in the extra `peers`, which the tests of everybody do without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

edsnlp = pytest.importorskip("edsnlp", reason="EDS-NLP is not installed (extra peers)")

import bertinchamps.spacy_components  # noqa: E402, F401  # registers the factories, as entry points do
from bertinchamps.contract import AnnotatedText, Entity  # noqa: E402
from bertinchamps.finetune import finetune  # noqa: E402
from bertinchamps.tasks.formats import brat  # noqa: E402
from support import composed  # noqa: E402
from test_finetune import QUICK, SCRATCH  # noqa: E402

CONTEXTS = (
    "Le patient a un {}.",
    "Le patient n'a pas de {}.",
    "Antécédents familiaux : {} chez le père.",
    "Suspicion de {} à confirmer.",
)
DISEASES = ("cancer", "kyste", "abcès")
ORGANS = ("foie", "rein")


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows by heart an organ inside a disease in each context."""
    folder = tmp_path_factory.mktemp("eds")
    for split in ("train", "dev"):
        (folder / split).mkdir()
        for number, (context, disease, organ) in enumerate(
            (context, disease, organ) for context in CONTEXTS for disease in DISEASES for organ in ORGANS
        ):
            name = f"{disease} du {organ}"
            text, start = context.format(name), context.index("{")
            end = start + len(name)
            entities = (Entity("ANAT", ((end - len(organ), end),)), Entity("DISO", ((start, end),)))
            brat.write_document(folder / split, AnnotatedText(str(number), text, entities))
    words = [
        "task=ner", f"task.train={folder / 'train'}", f"task.dev={folder / 'dev'}", "head=nested", *QUICK, *SCRATCH,
        "budget.epochs=40", "optim.learning_rate=3e-3", "dropout=0", "selection.every_epochs=10",
    ]  # fmt: skip
    return finetune(composed(*words, f"run_dir={folder / 'run'}", command="finetune"))


def pipeline(model: Path) -> Any:
    nlp = edsnlp.blank("eds")
    nlp.add_pipe("eds.sentences")
    nlp.add_pipe("bertinchamps_ner", config={"model": str(model), "device": "cpu", "precision": "fp32"})
    for qualifier in ("negation", "family", "hypothesis"):
        nlp.add_pipe(f"eds.{qualifier}", config={"span_getter": ["ents", "bertinchamps"]})
    return nlp


def qualified(doc: Any) -> dict[str, tuple[bool, bool, bool]]:
    return {
        span.label_: (bool(span._.negation), bool(span._.family), bool(span._.hypothesis))
        for span in doc.spans["bertinchamps"]
    }


EXPECTED = [(False, False, False), (True, False, False), (False, True, False), (False, False, True)]


def test_qualifiers_read_our_entities_nested_ones_included(tagger: Path, tmp_path: Path) -> None:
    nlp = pipeline(tagger)
    texts = [context.format("kyste du rein") for context in CONTEXTS]
    docs = list(nlp.pipe(texts))
    for doc, expected in zip(docs, EXPECTED, strict=True):
        assert qualified(doc) == {"DISO": expected, "ANAT": expected}
        (entity,) = doc.ents
        assert (entity.text, entity.label_) == ("kyste du rein", "DISO")
        assert (entity._.negation, entity._.family) == expected[:2]
        assert entity._.bertinchamps_confidence > 0.5
    assert qualified(nlp(texts[1])) == qualified(docs[1])
    nlp.to_disk(tmp_path / "saved")
    assert str(tagger) not in (tmp_path / "saved" / "config.cfg").read_text(encoding="utf-8")
    loaded = edsnlp.load(tmp_path / "saved")
    assert [qualified(doc) for doc in loaded.pipe(texts)] == [qualified(doc) for doc in docs]
