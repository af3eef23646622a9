"""The user's own relations: brat folders with R lines, JSON lines with entities and relations, and XMI.

    {"text": "glucose 12", "entities": [[0, 7, "TEST"], [8, 10, "VALUE"]],
     "relations": [{"head": 1, "tail": 0, "label": "MEASURES"}]}

(on one line). XMI is what INCEpTION and WebAnno export; `formats/xmi.py` shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertinchamps.contract import RelatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import annotated_files, brat_relations, relations_jsonl
from bertinchamps.tasks.formats.xmi_writing import LAYER
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.custom import given_files, layer_problems, left_out_remarks, title_problems
from bertinchamps.tasks.saved_model import folder_of
from bertinchamps.textfiles.bad_records import ON_ERROR, BadRecords, on_error_problems

FORMATS = (
    "a folder, .zip or .tar.gz is read as brat, or as XMI where it holds .xmi; .jsonl as JSON lines, .xmi as XMI; "
    "files may be .gz or .zst"
)
READ = ("brat", "jsonl", "xmi")  # of the formats that `annotated_files.form_of` tells apart
LINK = "Relation.label"


def pair_problems(settings: Mapping[str, Any]) -> list[str]:
    """Mistakes in the settings of pairs, in the user's key names."""
    window, negatives, ner = (settings.get(key) for key in ("window", "negatives", "ner"))
    wrong = []
    if window is not None and window < 0:
        wrong.append(
            f"task.window={window}: words between two arguments, 0 or more; null: both in one sentence"
        )
    if negatives is not None and negatives <= 0:
        wrong.append(
            f"task.negatives={negatives}: pairs without a relation for each pair with one, above zero; null: all"
        )
    if ner is not None:
        try:
            folder_of(ner)
        except UserError as error:
            wrong.append(f"task.ner={error}")
    return wrong


def _problems(settings: Mapping[str, Any]) -> list[str]:
    wrong = layer_problems(settings.get("layers", [LAYER]), "task.layers")
    if links := settings.get("links", []):
        wrong += layer_problems(links, "task.links", LINK)
    return [*wrong, *pair_problems(settings), *on_error_problems(settings, "task"), *title_problems(settings)]


@readers.register("relations", check=_problems)
class Relations:
    """Texts with entities and relations: brat folders or archives, JSON lines, or XMI, by their names.

    Args:
        train: the training examples.
        dev: the dev examples, or None.
        test: the test examples, or None.
        layers: of XMI, the layers that hold entities, TYPE.FEATURE each; the label is the value of the feature.
        links: of XMI, the relation layers, or the features of entities that hold links, TYPE.FEATURE each.
        window: the most words between two arguments; None: both are in one sentence.
        negatives: pairs without a relation that are learnt, for each pair with one; None: all.
        typed_markers: whether the markers of an argument say its type.
        ner: a fine-tuned model that finds entities, for end-to-end scores; None: no such scores.
        on_error: what a document that cannot be read does: `stop`, or `skip`, which leaves it out and counts it.
        title: what the report calls the task; None: after the training examples.
    """

    kind = "relations"

    def __init__(
        self,
        train: str,
        dev: str | None = None,
        test: str | None = None,
        layers: Sequence[str] = (LAYER,),
        links: Sequence[str] = (),
        window: int | None = None,
        negatives: float | None = None,
        typed_markers: bool = True,
        ner: str | None = None,
        on_error: str = ON_ERROR[0],
        title: str | None = None,
    ) -> None:
        del window, negatives, typed_markers, ner, title  # the kind and the command read them
        self._settings = {"train": train, "dev": dev, "test": test}
        self._layers, self._links = tuple(layers), tuple(links)
        self._on_error, self.bad = on_error, dict[str, BadRecords]()
        self.remarks: tuple[str, ...] = ()

    def check(self) -> None:
        """Look for the files, and for their formats by their suffixes."""
        forms = {split: _form(split, path) for split, path in given_files(**self._settings).items()}
        of_xmi = [split for split, form in forms.items() if form == "xmi"]
        if of_xmi and not self._links:
            raise UserError(
                f"task.links: none given, and task.{of_xmi[0]} is XMI: name the layers of its relations, TYPE.FEATURE "
                f"each, such as [{LINK}]"
            )
        if not of_xmi and (self._links or self._layers != (LAYER,)):
            raise UserError(
                f"task.layers, task.links: only XMI has layers, and none of these files is one: {FORMATS}"
            )

    def read(self) -> dict[str, list[RelatedText]]:
        """The documents of each given file or folder; remarks count what was left out, and name unknown labels."""
        splits, remarks, known = {}, [], set[str]()
        for split, path in given_files(**self._settings).items():
            left_out: Counter[str] = Counter()
            first: dict[str, str] = {}
            bad = self.bad[split] = BadRecords(self._on_error)
            splits[split] = self._read(split, path, left_out, first, bad)
            bad.check(len(splits[split]))
            remarks += left_out_remarks(split, +left_out)
            if split == "train":
                known = set(first)
            remarks += [
                f"{where}: the first relation of a type that train lacks; all of them count as missed"
                for label, where in sorted(first.items())
                if label not in known
            ]
        self.remarks = tuple(remarks)
        return splits

    def _read(
        self, split: str, path: Path, left_out: Counter[str], first: dict[str, str], bad: BadRecords
    ) -> list[RelatedText]:
        form = _form(split, path)
        if form == "xmi":
            return annotated_files.read_related_xmi(path, self._layers, self._links, left_out, first, bad)
        return (brat_relations.read_folder if form == "brat" else relations_jsonl.read)(
            path, left_out, first, bad
        )


def _form(split: str, path: Path) -> str:
    form = annotated_files.form_of(path)
    if form not in READ:
        raise UserError(f"task.{split}={path}: no known format of relations has this suffix: {FORMATS}")
    return form
