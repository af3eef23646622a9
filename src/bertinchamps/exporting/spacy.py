"""A pipeline that `spacy.load` opens: a blank language, and the model as a component that travels with it.

    exported/config.cfg meta.json …     the pipeline; its component is bertinchamps_ner or bertinchamps_textcat
    exported/bertinchamps_ner/          the model, whole: an adapter is a part of its base

Whoever opens it needs the package bertinchamps, whose entry points tell spaCy the components.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bertinchamps.contract import AnnotatedText
from bertinchamps.data import pretraining_facts
from bertinchamps.errors import UserError
from bertinchamps.exporting import Source, exporters
from bertinchamps.model.adapters import bases
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.spacy_components import SPANS_KEY
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.kinds import FindsEntities, ReadsWholeTexts, kinds
from bertinchamps.tasks.saved_model import open_model
from bertinchamps.training.runtime import resolved

NAMES = ("bertinchamps_ner", "bertinchamps_textcat")
# Invented, to compare the pipeline with the model.
TEXTS = (
    "Patient de 62 ans, douleur thoracique depuis 3 h, sous aspirine 75 mg.",
    "Pas de fièvre. Un kyste du rein gauche est traité par codéine ; l'œdème a régressé.",
    "",
)


@exporters.register("spacy")
class Spacy:
    """A folder for `spacy.load`, or a package around it.

    Args:
        lang: of the pipeline, whose tokenizer makes the tokens.
        spans_key: where all entities are, nested ones included.
        alignment_mode: of entities that do not begin and end with tokens: expand, contract or strict.
        package: write a directory for `pip install` instead.
        package_name: of the package, without the language before it; None: after the task.
    """

    def __init__(
        self,
        lang: str = "fr",
        spans_key: str = SPANS_KEY,
        alignment_mode: str = "expand",
        package: bool = False,
        package_name: str | None = None,
    ) -> None:
        self._lang, self._package, self._package_name = lang, package, package_name
        self._settings = {"spans_key": spans_key, "alignment_mode": alignment_mode}

    def problems(self, source: Source) -> list[str]:
        """The model finds no entities and predicts no classes; a setting is wrong."""
        if source.facts is None or _component(source.facts) is None:
            return [
                "format=spacy: the model finds no entities and predicts no classes of single texts; give one of "
                "task=ner or task=classification"
            ]
        if self._package_name is not None and not self._package_name.isidentifier():
            return [
                f"format.package_name={self._package_name}: letters, digits and _ alone, as Python's modules have them"
            ]
        try:
            self._pipeline(source.facts)
        except ImportError:
            return [f"format.lang={self._lang}: spaCy has no such language; fr is French"]
        except UserError as error:
            return [f"format.{str(error).partition(': ')[2]}"]
        return []

    def export(self, source: Source, place: Path) -> list[str]:
        """Write the pipeline, open it again and compare its predictions with the model's."""
        import spacy

        assert source.facts is not None
        name = _component(source.facts)
        assert name is not None
        nlp = self._pipeline(source.facts)
        with tempfile.TemporaryDirectory() as temporary:
            whole, written = Path(temporary, "model"), Path(temporary, "pipeline")
            _write_whole(source, whole)
            nlp.get_pipe(name).use(whole)
            nlp.meta["name"] = self._package_name or _module_name(source.facts.title)
            nlp.meta["requirements"] = [f"bertinchamps{_at_least()}"]
            nlp.to_disk(written)
            _compare(spacy.load(written), source, name)
            if not self._package:
                shutil.copytree(written, place, dirs_exist_ok=True)
                return [f"compared   {len(TEXTS)} texts: the same predictions", "open       spacy.load(DIR)"]
            package = _package(written, place)
        return [
            f"compared   {len(TEXTS)} texts: the same predictions",
            f"open       pip install DIR; spacy.load({package!r})",
        ]

    def _pipeline(self, facts: TaskFacts) -> Any:
        import spacy

        name = str(_component(facts))
        nlp = spacy.blank(self._lang)
        nlp.add_pipe(name, config=self._settings if name == NAMES[0] else {})
        return nlp


def _component(facts: TaskFacts) -> str | None:
    """The factory for a model; None: no component holds what it predicts."""
    kind = kinds.build(facts.kind)
    if isinstance(kind, FindsEntities):
        return NAMES[0]
    return NAMES[1] if isinstance(kind, ReadsWholeTexts) and not facts.pairs else None


def _write_whole(source: Source, folder: Path) -> None:
    """The model's directory; of an adapter, the whole model that it makes of its base."""
    if not (source.folder / bases.FILE).is_file():
        shutil.copytree(source.folder, folder)
        return
    assert source.facts is not None
    folder.mkdir()
    model: Any = source.model()
    model.save(folder)
    source.tokenizer().save_pretrained(folder)
    source.facts.save(folder)
    if (pretraining := pretraining_facts.read_facts(str(source.folder))) is not None:
        pretraining_facts.write_facts(pretraining, folder)


def _compare(nlp: Any, source: Source, name: str) -> None:
    """Raise UserError unless the opened pipeline predicts what the model predicts."""
    assert source.facts is not None
    texts = [Input("", text, "") for text in TEXTS]
    saved = open_model(source.folder, source.facts, 8, resolved(RuntimeConfig(compile="off")), source.base)
    opened = nlp.get_pipe(name).saved
    answers = []
    for model in (saved, opened):
        with model.reading():
            answers.append([_answer(each) for each in model.predictions(texts, Counter())])
    if answers[0] != answers[1] or len(list(nlp.pipe(TEXTS))) != len(TEXTS):
        raise UserError("format=spacy: the pipeline does not predict what the model predicts")


def _answer(prediction: Any) -> Any:
    """A prediction without its probabilities, which rounding changes where an adapter becomes a part of its base."""
    return prediction.entities if isinstance(prediction, AnnotatedText) else prediction.target


def _module_name(title: str) -> str:
    letters = "".join(
        character if character.isascii() and character.isalnum() else "_" for character in title
    )
    return "_".join(part for part in letters.split("_") if part).lower() or "pipeline"


def _at_least() -> str:
    try:
        return f">={version('bertinchamps')}"
    except PackageNotFoundError:
        return ""


def _package(written: Path, place: Path) -> str:
    """Write a package around a pipeline into an empty directory; returns the package's name."""
    from spacy.cli.package import package

    with tempfile.TemporaryDirectory() as temporary:
        package(written, Path(temporary), create_sdist=False, create_wheel=False, silent=True)
        (made,) = Path(temporary).iterdir()
        shutil.copytree(made, place, dirs_exist_ok=True)
        return made.name.rpartition("-")[0]
