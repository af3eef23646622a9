"""Fine-tuned models as components of spaCy's pipelines, and of EDS-NLP's, which takes spaCy's components.

    nlp = spacy.blank("fr")
    nlp.add_pipe("bertinchamps_ner", config={"model": "RUN"})
    nlp.add_pipe("bertinchamps_textcat", config={"model": "OTHER_RUN"})

spaCy finds the factories by entry points (`spacy_factories` in pyproject.toml) and imports this file whenever anybody
makes a pipeline, so nothing here imports torch before a factory is called.

Annotations are objects, not strings (no `from __future__ import annotations`): spaCy and EDS-NLP check settings against
them, and evaluate that of the result, so that it names no class of a module that is imported later.
"""

from typing import Any

from spacy.language import Language

SPANS_KEY = "bertinchamps"
OPENING = {"model": None, "base": None, "batch": 64, "device": "auto", "precision": "auto"}


@Language.factory(
    "bertinchamps_ner",
    assigns=["doc.ents", "doc.spans"],
    default_config={
        **OPENING,
        "spans_key": SPANS_KEY,
        "alignment_mode": "expand",
        "set_ents": True,
        "overwrite_ents": True,
    },
)
def create_ner(
    nlp: Language,
    name: str,
    model: str | None,
    base: str | None,
    batch: int,
    device: str,
    precision: str,
    spans_key: str,
    alignment_mode: str,
    set_ents: bool,
    overwrite_ents: bool,
) -> Any:
    """Entities of a model of task=ner or the like.

    Args:
        nlp: the pipeline.
        name: of the component.
        model: a run's directory, or its model/; None: the model comes with the pipeline (`spacy.load`).
        base: of an adapter: the encoder that it was trained on, if it is not where it was.
        batch: windows that go through the model at once.
        device: auto, cpu or cuda.
        precision: auto, fp32, bf16 or fp16.
        spans_key: all entities, nested ones included, are in `doc.spans[spans_key]`.
        alignment_mode: what becomes of an entity that does not begin and end with tokens: `expand` to whole tokens,
            `contract` to whole tokens, or `strict`: it is left out. `unaligned` of the component counts them.
        set_ents: the longest entities that do not overlap are in `doc.ents`.
        overwrite_ents: whether those of earlier components are dropped; otherwise ours stand where there are none.
    """
    from bertinchamps.spacy_components.entities import EntityPipe

    del nlp
    settings: dict[str, Any] = {"base": base, "batch": batch, "device": device, "precision": precision}
    return EntityPipe(name, model, settings, spans_key, alignment_mode, set_ents, overwrite_ents)


@Language.factory("bertinchamps_textcat", assigns=["doc.cats"], default_config=OPENING)
def create_textcat(
    nlp: Language,
    name: str,
    model: str | None,
    base: str | None,
    batch: int,
    device: str,
    precision: str,
) -> Any:
    """Classes of whole texts, in `doc.cats`; arguments as those of `create_ner`."""
    from bertinchamps.spacy_components.classes import ClassPipe

    del nlp
    return ClassPipe(name, model, {"base": base, "batch": batch, "device": device, "precision": precision})
