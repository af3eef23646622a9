"""The component `bertinchamps_textcat`: the probability of each class in `doc.cats`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from spacy.tokens import Doc

from bertinchamps.spacy_components.saved_pipe import SavedPipe
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.kinds import Kind, ReadsWholeTexts

PREDICTED = "bertinchamps_predicted"

if not Doc.has_extension(PREDICTED):
    Doc.set_extension(PREDICTED, default=None)


class ClassPipe(SavedPipe):
    """See `create_textcat`.

    `doc._.bertinchamps_predicted` is the class, the list of classes above their thresholds, or the number that the
    model predicts.

    Attributes:
        cut: texts that were read by their beginning, so far.
    """

    def __init__(self, name: str, model: str | None, settings: Mapping[str, Any]) -> None:
        super().__init__(name, model, settings)
        self.cut: Counter[str] = Counter()

    def check(self, kind: Kind, facts: TaskFacts) -> str | None:
        if facts.pairs:
            return f"reads pairs of texts (task {facts.title}), and a document is one"
        if isinstance(kind, ReadsWholeTexts):
            return None
        return f"does not predict classes of texts (task {facts.title}); bertinchamps_ner is for entities"

    def annotate(self, docs: list[Doc]) -> None:
        """Fill `doc.cats`."""
        saved, cut = self.saved, Counter[str]()
        texts = [Input(str(number), doc.text, "") for number, doc in enumerate(docs)]
        with saved.reading():
            predictions = list(saved.predictions(texts, cut))
        self.cut += cut
        for doc, prediction in zip(docs, predictions, strict=True):
            doc.cats = {**doc.cats, **prediction.probabilities}
            doc._.set(PREDICTED, prediction.target)
