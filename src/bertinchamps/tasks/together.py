"""Several fine-tuned models in one process; adapters over one base share its weights.

together = Together(["runs/entities", "runs/specialties"])
for name, found in together.label(["Il prend de l'aspirine."]).items(): ...
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.model.adapters.bases import SharedBases
from bertinchamps.model.onnx_model import AUTO
from bertinchamps.schemas import EngineConfig
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.inputs import Input, Inputs
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.saved_model import engine_runtime, folder_of, open_model
from bertinchamps.training.runtime import Runtime


class Together:
    """Fine-tuned models by the names that the caller gives, such as runs or their model/.

    Args:
        names: runs' directories, or models'.
        batch: windows or texts that go through a model at once.
        base: of all adapters: the encoder that they were trained on; None: where each remembers it.
        runtime: device and precision; None: those of `predict`'s defaults.
        ner: a model that finds the entities of a text first, for those that read entities.

    Raises:
        UserError: a model, or its base, cannot be read.
    """

    def __init__(
        self,
        names: Sequence[str],
        batch: int = 64,
        base: str | None = None,
        runtime: Runtime | None = None,
        ner: str | None = None,
    ) -> None:
        shared = SharedBases()
        folders = {name: folder_of(name) for name in names}
        self.facts = {name: read_facts(folder) for name, folder in folders.items()}
        reading = {name for name, facts in self.facts.items() if kinds.build(facts.kind).reads_entities}
        self._without_entities = reading if ner is None else set()
        self.models = {
            name: open_model(
                folder,
                self.facts[name],
                batch,
                engine_runtime(EngineConfig(), folder) if runtime is None else runtime,
                base,
                shared,
                ner if name in reading else None,
                AUTO,
            )
            for name, folder in folders.items()
        }

    def label(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """For each model an object for each text, as a line of `predict`'s JSON lines.

        Args:
            texts: to label.
            pairs: the second text of each, for models of pairs.

        Raises:
            UserError: a model reads pairs and gets none, or the reverse; or it reads entities, and nothing finds them.
        """
        if self._without_entities:
            name = min(self._without_entities)
            raise UserError(f"{name}: relates entities; ner=MODEL names a model that finds them first")
        for name, facts in self.facts.items():
            if facts.pairs != (pairs is not None):
                raise UserError(f"{name}: reads {'pairs of texts' if facts.pairs else 'one text at a time'}")
        seconds = [None] * len(texts) if pairs is None else pairs
        given = [
            Input(str(number), text, f"text {number}", pair, fields=(("text", text),))
            for number, (text, pair) in enumerate(zip(texts, seconds, strict=True), start=1)
        ]
        return {name: self._label(name, given) for name in self.models}

    def parameters(self) -> int:
        """The numbers in memory; what models share counts once."""
        distinct = {id(p): p.numel() for model in self.models.values() for p in model.model.parameters()}
        return sum(distinct.values())

    def _label(self, name: str, given: Sequence[Input]) -> list[dict[str, Any]]:
        facts, model = self.facts[name], self.models[name]
        kind, inputs = kinds.build(facts.kind), Inputs(lambda: iter(given), text_column="text")
        with model.reading():
            predictions = model.predictions(given, Counter())
        return [
            kind.as_object(facts, text, prediction, inputs)
            for text, prediction in zip(given, predictions, strict=True)
        ]
