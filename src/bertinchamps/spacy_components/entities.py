"""The component `bertinchamps_ner`: entities in `doc.ents`, nested ones in `doc.spans`, each with its confidence."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.spacy_components.saved_pipe import SavedPipe
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.kinds import FindsEntities, Kind

MODES = ("strict", "contract", "expand")
CONFIDENCE = "bertinchamps_confidence"
LEFT_OUT, MOVED = "left out", "moved to whole tokens"


def confidence_of(span: Span) -> float | None:
    """The confidence of an entity that a component found, wherever the span is from; None for other spans.

    spaCy's own attributes of spans know no labels, so that two entities of one span would share them.
    """
    known: dict[Any, Any] = span.doc.user_data
    return known.get((CONFIDENCE, span.start_char, span.end_char, span.label_))


if not Span.has_extension(CONFIDENCE):
    Span.set_extension(CONFIDENCE, getter=confidence_of)


class EntityPipe(SavedPipe):
    """See `create_ner`.

    Attributes:
        unaligned: entities that were left out, or moved to whole tokens, so far.
    """

    def __init__(
        self,
        name: str,
        model: str | None,
        settings: Mapping[str, Any],
        spans_key: str,
        alignment_mode: str,
        set_ents: bool,
        overwrite_ents: bool,
    ) -> None:
        if alignment_mode not in MODES:
            raise UserError(f"{name}: alignment_mode={alignment_mode}: one of {', '.join(MODES)}")
        if not spans_key:
            raise UserError(f"{name}: spans_key: must not be empty")
        self.unaligned: Counter[str] = Counter()
        self._key, self._mode = spans_key, alignment_mode
        self._sets_ents, self._overwrites = set_ents, overwrite_ents
        super().__init__(name, model, settings)

    def check(self, kind: Kind, facts: TaskFacts) -> str | None:
        if isinstance(kind, FindsEntities):
            return None
        return f"does not find entities (task {facts.title}); bertinchamps_textcat is for classes of texts"

    def annotate(self, docs: list[Doc]) -> None:
        """Fill `doc.spans` and `doc.ents`."""
        saved = self.saved
        texts = [Input(str(number), doc.text, "") for number, doc in enumerate(docs)]
        with saved.reading():
            predictions: list[AnnotatedText] = list(saved.predictions(texts, Counter()))
        for doc, prediction in zip(docs, predictions, strict=True):
            self._write(doc, prediction)

    def _write(self, doc: Doc, prediction: AnnotatedText) -> None:
        spans: dict[tuple[int, int, str], tuple[Span, float]] = {}
        known: dict[Any, Any] = doc.user_data
        for entity, confidence in prediction.by_place():
            span = self._span(doc, entity.start, entity.end, entity.label)
            if span is None:
                continue
            place = (span.start_char, span.end_char, entity.label)
            sure = max(confidence or 0.0, spans[place][1] if place in spans else 0.0)
            spans[place] = (span, sure)
            known[(CONFIDENCE, *place)] = sure
        doc.spans[self._key] = [span for span, _ in spans.values()]
        doc.spans[self._key].attrs["scores"] = [
            sure for _, sure in spans.values()
        ]  # where spaCy's spancat has them
        if self._sets_ents:
            # filter_spans keeps the longest, and of equal spans the first
            surest = sorted(spans.values(), key=lambda pair: -pair[1])
            self._set_ents(doc, filter_spans([span for span, _ in surest]))

    def _span(self, doc: Doc, start: int, end: int, label: str) -> Span | None:
        """The span of whole tokens that stands for an entity; None where there is none."""
        span = doc.char_span(start, end, label=label, alignment_mode=self._mode)
        if span is None or not len(span):
            if not self.unaligned[LEFT_OUT]:
                warnings.warn(
                    f"{self.name}: an entity that does not begin and end with tokens was left out "
                    f"(alignment_mode={self._mode}); `unaligned` of the component counts them",
                    stacklevel=2,
                )
            self.unaligned[LEFT_OUT] += 1
            return None
        if (span.start_char, span.end_char) != (start, end):
            self.unaligned[MOVED] += 1
        return span

    def _set_ents(self, doc: Doc, found: Iterable[Span]) -> None:
        if self._overwrites:
            doc.ents = tuple(found)
            return
        taken = {token.i for entity in doc.ents for token in entity}
        free = [span for span in found if not taken.intersection(range(span.start, span.end))]
        doc.ents = (*doc.ents, *free)
