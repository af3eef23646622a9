"""De-identified output of `predict`: the texts with what was found replaced, in the format they came in.

{"id": 7, "text": "Mme DUPONT tousse", "ward": "B2"}   →   {"id": 7, "text": "Mme <NOM> tousse", "ward": "B2"}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from bertinchamps.console import all_shown
from bertinchamps.contract import AnnotatedText
from bertinchamps.durable import progressive, unfinished
from bertinchamps.errors import UserError
from bertinchamps.schemas import PredictConfig
from bertinchamps.tasks.deidentification import rules
from bertinchamps.tasks.deidentification.replacing import Edited, Replacer, identifiers_of, replacers
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.formats import spans_jsonl, tables
from bertinchamps.tasks.inputs import STREAM, Input, Inputs
from bertinchamps.tasks.kinds import FindsEntities, Kind
from bertinchamps.tasks.kinds.entities import Entities
from bertinchamps.textfiles import json_lines

TEXT = "text"
FOR_ME_ALONE = 0o600


class Deidentified(Entities):
    """How de-identified texts are written: a row a text, with the user's columns.

    Args:
        source: `input=`.
    """

    def __init__(self, source: str) -> None:
        path = Path(source).expanduser()
        self._is_table = source != STREAM and not path.is_dir() and tables.format_of(path) is not None
        annotated = path.is_dir() and any(path.glob("*.ann"))
        folders = ("brat", "txt") if annotated else ("txt", "brat")
        self.formats = (*folders, "jsonl", "csv", "tsv")

    keeps_text = True

    def columns(self, facts: TaskFacts) -> tuple[str, ...]:
        return () if self._is_table else (TEXT,)

    def output_keys(self, inputs: Inputs) -> set[str]:
        return {TEXT} - {inputs.text_column} if inputs.text_column is None else set()

    def rows(self, facts: TaskFacts, prediction: AnnotatedText, beside: list[str]) -> Iterator[list[str]]:
        yield beside if self._is_table else [*beside, prediction.text]

    def as_object(
        self, facts: TaskFacts, given: Input, prediction: AnnotatedText, inputs: Inputs
    ) -> dict[str, Any]:
        fields = dict(given.fields)
        return fields if self._is_table else {**fields, TEXT: prediction.text}


class Hiding:
    """What `deidentify=` asks for.

    Args:
        replacer: gives what stands instead of identifiers.
        kind: of the model.
        config: the settings.
    """

    def __init__(self, replacer: Replacer, kind: FindsEntities, config: PredictConfig) -> None:
        self._replacer, self._kind = replacer, kind
        self.written = Deidentified(config.input)
        self._labels = config.deidentify.get("labels")
        self._rules = bool(config.deidentify.get("rules", True))
        self._map = config.deidentify.get("map")
        self._stream: TextIO | None = None  # of the map
        self.replaced = 0

    def check_labels(self, facts: TaskFacts) -> None:
        """Raise UserError where a label to replace is none of the model's and none of a rule."""
        known = [*facts.labels, *(rules.RULES if self._rules else ())]
        unknown = [label for label in self._labels or () if label not in known]
        if unknown:
            finds = f"the model finds: {all_shown(facts.labels)}"
            finds += f"; by their form: {', '.join(rules.RULES)}" if self._rules else ""
            raise UserError(f"deidentify.labels: nothing finds {', '.join(unknown)} ({finds})")

    @contextmanager
    def mapping(self) -> Iterator[None]:
        """A context in which the map is written. The output is opened in it, and gets its name first.

        So the map of an output that was interrupted has no name either, and the same command writes both anew.

        Raises:
            UserError: the map cannot be written.
        """
        try:
            with _opened(self._map) as self._stream:
                yield
        except OSError as error:
            place = Path(self._map or "").expanduser()
            if str(error.filename) not in (str(place), str(unfinished(place))):
                raise
            raise UserError(
                f"deidentify.map={self._map}: cannot be written ({error.strerror}); the map is in {unfinished(place)}"
            ) from error

    def hidden(
        self, labelled: Iterable[tuple[Input, Any]], text_column: str | None
    ) -> Iterator[tuple[Input, AnnotatedText]]:
        """The texts with identifiers replaced, and with the annotations that they came with, moved along; in `mapping`.

        Args:
            labelled: each text with the prediction for it.
            text_column: the column of the texts, if they are from a table.
        """
        for given, prediction in labelled:
            document = self._kind.found(prediction)
            if self._rules:
                document = document._replace(entities=(*document.entities, *rules.found(given.text)))
            parts = identifiers_of(document, self._labels)
            written = self._replacer.surrogates(given.name, given.text, parts)
            edited = Edited(given.text, parts, written)
            self.replaced += len(parts)
            if self._stream is not None:
                for part, value in zip(parts, written, strict=True):
                    self._stream.write(
                        json_lines.line({"id": given.name, **part._asdict(), **_pair(given, part, value)})
                    )
            yield (
                given._replace(text=edited.text, fields=_fields(given, edited, text_column)),
                AnnotatedText(given.name, edited.text, tuple(sorted(edited.moved(given.entities or ())))),
            )


def _pair(given: Input, part: Any, value: str) -> dict[str, str]:
    return {"original": given.text[part.start : part.end], "surrogate": value}


def _fields(given: Input, edited: Edited, text_column: str | None) -> tuple[tuple[str, Any], ...]:
    """The columns, with the new text, and with lists of entities moved along."""

    def field(name: str, value: Any) -> Any:
        if name == text_column:
            return edited.text
        if name in spans_jsonl.LISTS and isinstance(value, list):
            entities = spans_jsonl.listed_entities(value, given.text, f"{given.place}: {name}")
            return value if entities is None else spans_jsonl.as_items(edited.moved(entities), value)
        return value

    return tuple((name, field(name, value)) for name, value in given.fields)


@contextmanager
def _opened(file: str | None) -> Iterator[TextIO | None]:
    """A new file that nobody else can read; it gets its name at the end, and replaces what a killed run left."""
    if file is None:
        yield None
        return
    with progressive(Path(file).expanduser(), folder=False, leftover="replace") as place:
        place.chmod(FOR_ME_ALONE)  # whatever the umask
        with place.open("w", encoding="utf-8", newline="") as stream:
            yield stream


def open_hiding(config: PredictConfig, kind: Kind, facts: TaskFacts) -> Hiding | None:
    """What `deidentify=` asks for; None where texts stay as they are.

    Raises:
        UserError: the model finds no entities, or has no such label.
    """
    replacer = replacers.build(**(config.deidentify or {"name": "none"}))
    if replacer is None:
        return None
    if not isinstance(kind, FindsEntities):
        raise UserError(
            f"deidentify={config.deidentify['name']}: model={config.model} finds no entities in texts, so nothing "
            "could be replaced; give a model of task=deidentification or task=ner"
        )
    hiding = Hiding(replacer, kind, config)
    hiding.check_labels(facts)
    return hiding
